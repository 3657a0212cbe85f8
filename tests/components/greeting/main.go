// Greeting answers every request with one line: a service in Go as small as one can be.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

func main() {
	greeting := cases.Title(language.English).String("good morning")
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, greeting)
	})
	log.Fatal(http.ListenAndServe(net.JoinHostPort("", os.Getenv("PORT")), nil))
}
