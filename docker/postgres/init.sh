#!/bin/sh
# Run once by the postgres image, on an empty data directory: the service's role is no superuser and can not bypass
# row-level security. The password comes from the environment, not from a command line that others can read.
set -eu

: "${NOTIFICATIONS_DB_PASSWORD:?must be set}"

psql --set ON_ERROR_STOP=1 --no-psqlrc --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv password NOTIFICATIONS_DB_PASSWORD
CREATE ROLE notifications LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE notifications OWNER notifications;
REVOKE CONNECT ON DATABASE notifications FROM PUBLIC;
SQL
