// Greeting answers every request with one line: a service in Go as small as one can be. It speaks just enough HTTP
// itself, since the library for it takes a minute to compile from nothing.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"os"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

func main() {
	listener, problem := net.Listen("tcp", net.JoinHostPort("", os.Getenv("PORT")))
	if problem != nil {
		log.Fatal(problem)
	}
	greeting := cases.Title(language.English).String("good morning") + "\n"
	for {
		connection, problem := listener.Accept()
		if problem != nil {
			log.Fatal(problem)
		}
		go answer(connection, greeting)
	}
}

func answer(connection net.Conn, greeting string) {
	defer connection.Close()
	lines := bufio.NewScanner(connection)
	for lines.Scan() && lines.Text() != "" {
	}
	fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(greeting), greeting)
}
