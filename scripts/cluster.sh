# shellcheck shell=bash
# The quickstart's private PostgreSQL cluster, shaped like Supabase's: the superuser is supabase_admin, `postgres` is an ordinary
# role that owns the database, and the API's roles exist. Sourced by quickstart; needs PG_BIN, PG_DATA, SOCKETS, FA_HOME, RUN_AS.

cluster_create() {
    local password_file=$FA_HOME/pg/admin.password
    printf '%s\n' "$DB_ADMIN_PASSWORD" >"$password_file"
    own "$password_file"
    # No sync: an interrupted initdb is thrown away and begun again; the server itself runs with fsync on.
    as_user "$PG_BIN/initdb" -D "$PG_DATA.new" -U supabase_admin --pwfile="$password_file" --auth=scram-sha-256 \
        -E UTF8 --locale=C.UTF-8 --no-sync >>"$LOGS/postgres.log" 2>&1 \
        || fail "PostgreSQL could not create its cluster: $(last_words postgres)" "see $LOGS/postgres.log"
    as_user tee -a "$PG_DATA.new/postgresql.conf" >/dev/null <<'EOF'
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 64MB
logging_collector = off
log_destination = 'stderr'
password_encryption = 'scram-sha-256'
EOF
    as_user mv "$PG_DATA.new" "$PG_DATA"
    rm -f "$password_file"
}

# One line for libpq's password file; colons and backslashes do not occur in what random_hex makes.
cluster_passfile() {
    printf '*:*:*:supabase_admin:%s\n*:*:*:postgres:%s\n' "$DB_ADMIN_PASSWORD" "$POSTGRES_PASSWORD" >"$FA_HOME/pg/passfile"
    own "$FA_HOME/pg/passfile"
}

cluster_sql() { # as the superuser, from standard input
    PGPASSFILE=$FA_HOME/pg/passfile as_user "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -h "$SOCKETS" -U supabase_admin -d postgres
}

cluster_roles() {
    cluster_sql >>"$LOGS/postgres.log" 2>&1 <<EOF || fail "PostgreSQL's roles could not be created: $(last_words postgres)" "see $LOGS/postgres.log"
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
BEGIN;
DO \$\$
BEGIN
    IF to_regrole('postgres') IS NULL THEN
        CREATE ROLE postgres LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS PASSWORD '$POSTGRES_PASSWORD';
    END IF;
    IF to_regrole('anon') IS NULL THEN
        CREATE ROLE anon NOLOGIN NOINHERIT;
        CREATE ROLE authenticated NOLOGIN NOINHERIT;
        CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
        GRANT anon, authenticated, service_role TO postgres WITH ADMIN OPTION;
    END IF;
END
\$\$;
ALTER DATABASE postgres OWNER TO postgres;
COMMIT;
EOF
}
