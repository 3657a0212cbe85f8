#!/bin/sh
# Starts PostgreSQL. The image has this shell and PostgreSQL's own programs, nothing else: only built-ins here.
set -eu
bin=/usr/lib/postgresql/17/bin

IFS= read -r password <"$PASSWORD_FILE" || [ -n "$password" ]
case $password in
    '' | *[!A-Za-z0-9_.~-]*)
        # It becomes part of a statement below.
        echo "start.sh: $PASSWORD_FILE must hold letters, digits, or any of _ . ~ - only" >&2
        exit 1
        ;;
esac

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # `trust` is for the socket in this container alone; over the network it is a password.
    "$bin/initdb" -D "$PGDATA" -U postgres --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 --data-checksums \
        --no-instructions
    printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    # In single-user mode a line is a statement. The password is in no argument, which other processes could read.
    printf '%s\n' "CREATE ROLE todo LOGIN" "CREATE DATABASE todo OWNER todo" |
        "$bin/postgres" --single -D "$PGDATA" postgres >/dev/null
fi
# At every start: the Secret may have changed since the data was made.
printf '%s\n' "ALTER ROLE todo PASSWORD '$password'" |
    "$bin/postgres" --single -D "$PGDATA" postgres >/dev/null

exec "$bin/postgres" -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp \
    -c shared_buffers=32MB -c huge_pages=off -c max_wal_size=128MB
