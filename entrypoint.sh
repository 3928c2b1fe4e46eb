#!/bin/sh
# One image, several roles: web, worker, beat, consumer, migrate, flower; anything else is run as a command.
# What is run replaces this shell, so that signals arrive. Arguments after the role are passed on.
set -eu
cd "$(dirname "$0")"

role=${1:-web}
[ $# -eq 0 ] || shift

wait_for_database() {
    python manage.py wait_for_database --timeout "${WAIT_FOR_DATABASE_SECONDS:-60}"
}

celery() {
    exec python -m celery -A notification_service "$@"
}

case $role in
web)
    wait_for_database
    if [ "${MIGRATE_ON_START:-false}" = "true" ]; then
        python manage.py migrate_safely
    fi
    # X-Forwarded-For is the service's own business (TRUSTED_PROXIES).
    exec python -m uvicorn notification_service.asgi:application --host "${HOST:-0.0.0.0}" --port "${PORT:-3001}" \
        --no-proxy-headers --no-server-header --no-access-log --timeout-graceful-shutdown 20 \
        --ws notifications.inbox.socket.protocol:BoundedCloseProtocol --ws-max-size 65536 \
        --ws-per-message-deflate false "$@"
    ;;
worker)
    wait_for_database
    celery worker --queues "${WORKER_QUEUES:-critical,normal,bulk,control}" --hostname "worker@%h" \
        --concurrency "${WORKER_CONCURRENCY:-4}" "$@"
    ;;
beat)
    wait_for_database
    celery beat --pidfile= "$@"
    ;;
consumer)
    case " $* " in
    *" amqp "*) : "${AMQP_URL:?must be amqp://user:password@host:5672/vhost}" ;;
    *) : "${KAFKA_BOOTSTRAP_SERVERS:?must be host:port}" ;;
    esac
    wait_for_database
    exec python manage.py consume_events "$@"
    ;;
migrate)
    wait_for_database
    exec python manage.py migrate_safely "$@"
    ;;
flower)
    : "${FLOWER_BASIC_AUTH:?must be user:password}"
    celery flower --address="${HOST:-0.0.0.0}" --port="${PORT:-5556}" "$@"
    ;;
*)
    exec "$role" "$@"
    ;;
esac
