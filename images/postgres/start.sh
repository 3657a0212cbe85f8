#!/bin/sh
# Starts PostgreSQL, and makes its data on the first start. The image has this shell and PostgreSQL's own programs,
# nothing else: only built-ins here.
#
#   POSTGRES_PASSWORD_FILE  file that holds the password; or POSTGRES_PASSWORD, the password itself
#   POSTGRES_USER           the role that owns the database (app)
#   POSTGRES_DATABASE       the database (the role's name)
#   PGDATA                  folder of the data (/var/lib/postgresql/data/pgdata)
set -eu

refuse() {
    echo "start.sh: $1" >&2
    exit 64
}

user=${POSTGRES_USER:-app}
database=${POSTGRES_DATABASE:-$user}
case $user$database in
    *[!a-z0-9_]*) refuse "POSTGRES_USER and POSTGRES_DATABASE are small letters, digits and _ only" ;;
esac
password=${POSTGRES_PASSWORD:-}
if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
    IFS= read -r password <"$POSTGRES_PASSWORD_FILE" || [ -n "$password" ]
fi
unset POSTGRES_PASSWORD
case $password in
    # It becomes a part of a statement below.
    '' | *[!A-Za-z0-9_.~-]*) refuse "the password is missing, or holds more than letters, digits and _ . ~ -" ;;
esac

# In single-user mode a line of the input is a statement. So no password is in an argument, which every process
# of the machine could read, and nobody can connect before it is set.
statements() {
    postgres --single -D "$PGDATA" postgres >/dev/null
}

if [ ! -e "$PGDATA/lockgate.made" ]; then
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        # `trust` is for the socket in this container alone; over the network it is a password.
        initdb -D "$PGDATA" -U postgres --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 \
            --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 --data-checksums --no-instructions
        printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    fi
    printf '%s\n' "CREATE ROLE $user LOGIN" "CREATE DATABASE $database OWNER $user" | statements
    : >"$PGDATA/lockgate.made"
fi
# At every start: the secret may be another one than when the data was made.
printf '%s\n' "ALTER ROLE $user PASSWORD '$password'" | statements

exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp -c huge_pages=off "$@"
