"""Settings. Everything that differs between installations comes from the environment (see ``.env.example``).

A variable ``NAME`` may also be given as ``NAME_FILE``: the path of a file that holds it (Docker, Kubernetes secrets).
In production (``DEBUG=false``, the default) no secret has a usable default: ``notification_service/checks.py`` refuses
to start and names what is missing.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import environ

from notification_service.lib.logging import configure_logging
from notification_service.openapi import OPENAPI

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.FileAwareEnv()
environ.Env.read_env(BASE_DIR / ".env")

# --- Mode and secrets ---------------------------------------------------------------------------------------------
DEBUG: bool = env.bool("DEBUG", default=False)
# Without one this process makes its own (Django wants some), and the checks refuse to start.
SECRET_KEY_GIVEN: str = env.str("DJANGO_SECRET_KEY", default="")
SECRET_KEY: str = SECRET_KEY_GIVEN or token_urlsafe(50)
# Key ring for credentials: comma-separated, 32 bytes each in URL-safe base64 (a Fernet key is one).
# The first encrypts, all decrypt. ENCRYPTION_KEY is accepted as the ring of one that older installations have.
ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS", default=[]) or env.list("ENCRYPTION_KEY", default=[])
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
CORS_ALLOWED_ORIGINS: list[str] = env.list("CORS_ALLOWED_ORIGINS", default=[])
PUBLIC_URL: str = env.str("PUBLIC_URL", default="http://localhost:3001").rstrip("/")
# Addresses of proxies whose X-Forwarded-For is believed (CIDR); everybody else is who they connect as.
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", default=[])

# --- Applications -------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "notification_service.apps.NotificationServiceConfig",
    "unfold.apps.BasicAppConfig",  # the default one would replace our admin site by its own
    "notification_service.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "tenants.apps.TenantsConfig",
    "notifications.credentials.apps.CredentialsConfig",
    "notifications.recipients.apps.RecipientsConfig",
    "notifications.templates.apps.TemplatesConfig",
    "notifications.records.apps.RecordsConfig",
    "notifications.batches.apps.BatchesConfig",
    "notifications.campaigns.apps.CampaignsConfig",
    "notifications.inbox.apps.InboxConfig",
    "notifications.webhooks.apps.WebhooksConfig",
    "notifications.events.apps.EventsConfig",
    "messaging.apps.MessagingConfig",
]

MIDDLEWARE = [
    "notification_service.middleware.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]

ROOT_URLCONF = "notification_service.urls"
WSGI_APPLICATION = "notification_service.wsgi.application"
ASGI_APPLICATION = "notification_service.asgi.application"
APPEND_SLASH = False  # every route answers with and without the slash

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Data ---------------------------------------------------------------------------------------------------------
# DATABASE_POOL is the number of connections a process may hold; 0 opens one a thread and keeps none.
DATABASE_POOL: int = env.int("DATABASE_POOL", default=20)
DATABASES: dict[str, Any] = {
    "default": {
        **env.db_url("DATABASE_URL", default="postgres://notifications:notifications@127.0.0.1:5432/notifications"),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **(
                {"pool": {"min_size": 0, "max_size": DATABASE_POOL, "timeout": 5, "max_idle": 300}}
                if DATABASE_POOL
                else {}
            ),
            "connect_timeout": 5,
            "application_name": "notification_service",
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL: str = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL]},
    },
}

# --- Who is calling -----------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "tenants.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# Issuers whose tokens are believed, as a JSON list of
# {"issuer", "jwks_url", "audience"?, "algorithms"?, "claims"?: {"tenant", "role", "user_id", "username", "email"}}.
TRUSTED_ISSUERS: list[dict[str, Any]] = env.json("TRUSTED_ISSUERS", default=[])
AUTO_PROVISION_TENANTS: bool = env.bool("AUTO_PROVISION_TENANTS", default=False)
# The local issuer: what its tokens call themselves, and how long they last.
JWT_ISSUER: str = env.str("JWT_ISSUER", default=PUBLIC_URL)
JWT_AUDIENCE: str = env.str("JWT_AUDIENCE", default="notification-service")
ACCESS_TOKEN_LIFETIME = timedelta(seconds=env.int("ACCESS_TOKEN_SECONDS", default=900))
REFRESH_TOKEN_LIFETIME = timedelta(days=env.int("REFRESH_TOKEN_DAYS", default=30))
# Wrong secrets in the window after which a key is revoked, and wrong secrets a single source may try before it is
# turned away (the smaller number protects the key from strangers who only know its public half).
API_KEY_REVOKE_AFTER: int = env.int("API_KEY_REVOKE_AFTER", default=50)
API_KEY_SOURCE_LIMIT: int = env.int("API_KEY_SOURCE_LIMIT", default=10)
API_KEY_FAILURE_WINDOW = timedelta(seconds=env.int("API_KEY_FAILURE_WINDOW_SECONDS", default=600))
API_KEY_ROTATION_OVERLAP = timedelta(hours=env.int("API_KEY_ROTATION_OVERLAP_HOURS", default=24))

# --- API ----------------------------------------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tenants.authentication.ApiKeyAuthentication",
        "tenants.authentication.JwtAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.api.permissions.HasPermission"],
    "DEFAULT_RENDERER_CLASSES": ["drf_orjson_renderer.renderers.ORJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["drf_orjson_renderer.parsers.ORJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "tenants.api.pagination.PageOrCursorPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "tenants.api.errors.handle_exception",
    "UNAUTHENTICATED_USER": None,
    "DATETIME_FORMAT": "iso-8601",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = OPENAPI
# The longest request body in bytes; above it the answer is 413. Attachments come in base64, four octets for three.
# Files of recipients have a limit of their own.
DATA_UPLOAD_MAX_MEMORY_SIZE: int = env.int("MAX_BODY_BYTES", default=15 * 1024 * 1024)
# How long a client may take to send the next piece of a request, or to take the next one of an answer.
CLIENT_PATIENCE_SECONDS: float = env.float("CLIENT_PATIENCE_SECONDS", default=30.0)

# --- The engine ---------------------------------------------------------------------------------------------------
# Retries: RETRY_BASE_SECONDS × 2ⁿ after the n-th failed attempt (with jitter), RETRY_LIMIT times.
RETRY_LIMIT: int = env.int("RETRY_LIMIT", default=3)
RETRY_BASE_SECONDS: float = env.float("RETRY_BASE_SECONDS", default=60.0)
# A claimed record whose worker is not heard of for this long is given to another worker.
LEASE_SECONDS: int = env.int("LEASE_SECONDS", default=30)
# Worker processes that may send for one lane of one tenant at the same time.
TENANT_CONCURRENCY: int = env.int("TENANT_CONCURRENCY", default=4)
DRAIN_CHUNK: int = env.int("DRAIN_CHUNK", default=500)
SWEEP_SECONDS: float = env.float("SWEEP_SECONDS", default=5.0)
# How many due records of a tenant's bulk lane campaigns let pile up: what a pause has to hold back at once.
CAMPAIGN_LEAD: int = env.int("CAMPAIGN_LEAD", default=10_000)
# How long a record of a lane may wait before it ends as failed/expired, when the caller does not say.
LANE_DEADLINES = {
    "critical": timedelta(seconds=env.int("CRITICAL_DEADLINE_SECONDS", default=3600)),
    "normal": timedelta(seconds=env.int("NORMAL_DEADLINE_SECONDS", default=24 * 3600)),
    "bulk": timedelta(seconds=env.int("BULK_DEADLINE_SECONDS", default=72 * 3600)),
}
# Files of recipients: their length in bytes and in rows, and how long they and what was read from them are kept.
BULK_MAX_BYTES: int = env.int("BULK_MAX_BYTES", default=100 * 1024 * 1024)
BULK_MAX_ROWS: int = env.int("BULK_MAX_ROWS", default=1_000_000)
BULK_RETENTION_DAYS: int = env.int("BULK_RETENTION_DAYS", default=14)
IDEMPOTENCY_HOURS: int = env.int("IDEMPOTENCY_HOURS", default=24)
# Months after which all records go, a whole month at a time; 0 keeps them. Tenants may choose shorter times.
RETENTION_MONTHS: int = env.int("RETENTION_MONTHS", default=0)
# Networks that tenants' hosts and URLs may point to although they are not public (on-premises mail servers), in CIDR.
OUTBOUND_ALLOWED_NETWORKS: list[str] = env.list("OUTBOUND_ALLOWED_NETWORKS", default=[])

# --- Webhooks (us to tenants) ----------------------------------------------------------------------------------------
# Seconds from one attempt to the next, each up to a fifth longer: over three days and ten attempts by default.
WEBHOOK_RETRY_SECONDS: list[float] = env.list(
    "WEBHOOK_RETRY_SECONDS",
    cast=float,
    default=[5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0],
)
# How long a receiver may take to answer, and how many calls it gets at the same time, over all workers.
WEBHOOK_TIMEOUT_SECONDS: float = env.float("WEBHOOK_TIMEOUT_SECONDS", default=15.0)
WEBHOOK_CONCURRENCY: int = env.int("WEBHOOK_CONCURRENCY", default=16)
# An endpoint that has failed for so many days without a success is disabled.
WEBHOOK_DISABLE_DAYS: float = env.float("WEBHOOK_DISABLE_DAYS", default=5.0)
# How long deliveries that are over are kept; 0 keeps them.
WEBHOOK_RETENTION_DAYS: int = env.int("WEBHOOK_RETENTION_DAYS", default=30)

# --- Events and Kafka ---------------------------------------------------------------------------------------------
# host:port, comma-separated; empty: there is no Kafka, and everything else works.
KAFKA_BOOTSTRAP_SERVERS: str = env.str("KAFKA_BOOTSTRAP_SERVERS", default="")
KAFKA_TOPICS: list[str] = env.list("KAFKA_TOPICS", default=["hr-events", "auth-events", "billing-events", "app-events"])
KAFKA_GROUP_ID: str = env.str("KAFKA_GROUP_ID", default="notification-service")
KAFKA_OUT_TOPIC: str = env.str("KAFKA_OUT_TOPIC", default="notification-events")
KAFKA_DEAD_LETTER_TOPIC: str = env.str("KAFKA_DEAD_LETTER_TOPIC", default="notification-dead-letters")
# Messages that a consumer writes in one transaction.
KAFKA_BATCH: int = env.int("KAFKA_BATCH", default=3000)
# PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 …
KAFKA_SECURITY_PROTOCOL: str = env.str("KAFKA_SECURITY_PROTOCOL", default="PLAINTEXT")
KAFKA_SASL_MECHANISM: str = env.str("KAFKA_SASL_MECHANISM", default="")
KAFKA_SASL_USERNAME: str = env.str("KAFKA_SASL_USERNAME", default="")
KAFKA_SASL_PASSWORD: str = env.str("KAFKA_SASL_PASSWORD", default="")
# Paths of PEM files.
KAFKA_SSL_CA: str = env.str("KAFKA_SSL_CA", default="")
KAFKA_SSL_CERTIFICATE: str = env.str("KAFKA_SSL_CERTIFICATE", default="")
KAFKA_SSL_KEY: str = env.str("KAFKA_SSL_KEY", default="")
# RabbitMQ as another source of events: amqp://user:password@host:5672/vhost, or amqps://; empty: there is none.
AMQP_URL: str = env.str("AMQP_URL", default="")
# Durable queues, each bound to the topic exchange by its own name; without an exchange they are bound to none.
AMQP_QUEUES: list[str] = env.list("AMQP_QUEUES", default=["hr-events", "auth-events", "billing-events", "app-events"])
AMQP_EXCHANGE: str = env.str("AMQP_EXCHANGE", default="events")
# Messages that a consumer holds unacknowledged, and writes in one transaction.
AMQP_BATCH: int = env.int("AMQP_BATCH", default=500)
# Path of the broker's certificate authority, PEM; empty: those of the system.
AMQP_SSL_CA: str = env.str("AMQP_SSL_CA", default="")
# Where schemas are of messages in the wire format of a schema registry; empty: such messages become dead letters.
SCHEMA_REGISTRY_URL: str = env.str("SCHEMA_REGISTRY_URL", default="")
SCHEMA_REGISTRY_USERNAME: str = env.str("SCHEMA_REGISTRY_USERNAME", default="")
SCHEMA_REGISTRY_PASSWORD: str = env.str("SCHEMA_REGISTRY_PASSWORD", default="")
# How many events deep notifications of ours may lead to each other.
EVENT_MAX_DEPTH: int = env.int("EVENT_MAX_DEPTH", default=5)
# Days after which events and dead letters are forgotten; 0 keeps them.
EVENT_RETENTION_DAYS: int = env.int("EVENT_RETENTION_DAYS", default=90)

# --- Attachments and sandbox ----------------------------------------------------------------------------------------
# Octets of all attachments of one email together, decoded.
EMAIL_ATTACHMENTS_MAX_BYTES: int = env.int("EMAIL_ATTACHMENTS_MAX_BYTES", default=10 * 1024 * 1024)
# Where messages of test API keys go: smtp://user:password@host:port. Empty: they are accepted and go nowhere.
SANDBOX_SMTP_URL: str = env.str("SANDBOX_SMTP_URL", default="")
SANDBOX_URL: str = env.str("SANDBOX_URL", default="")
# Where `make up` describes its demo. With it, and in development alone, /demo/ lets two demo people in unasked.
DEMO_FILE: str = env.str("DEMO_FILE", default="") if DEBUG else ""

# --- Inbox and live sockets ---------------------------------------------------------------------------------------
# Snoozes and lives of messages end at most so many seconds late in inboxes that nobody looks at.
INBOX_SWEEP_SECONDS: float = env.float("INBOX_SWEEP_SECONDS", default=10.0)
# Days after which messages leave the inbox, read or not; 0 keeps them.
INBOX_RETENTION_DAYS: int = env.int("INBOX_RETENTION_DAYS", default=180)
# The longest sound that may be uploaded, in bytes.
SOUND_MAX_BYTES: int = env.int("SOUND_MAX_BYTES", default=1024 * 1024)
# The Redis channel that carries news to the sockets; installations that share a Redis need one each.
LIVE_CHANNEL: str = env.str("LIVE_CHANNEL", default="notifications:live")
# Every socket gets a heartbeat so often; it heals what Redis lost.
LIVE_HEARTBEAT_SECONDS: float = env.float("LIVE_HEARTBEAT_SECONDS", default=25.0)
# Sockets that may be open at once: of one person, of one tenant.
LIVE_SOCKETS_PER_USER: int = env.int("LIVE_SOCKETS_PER_USER", default=20)
LIVE_SOCKETS_PER_TENANT: int = env.int("LIVE_SOCKETS_PER_TENANT", default=50_000)
# Origins (https://crm.example) whose pages may open sockets besides ours and those of CORS_ALLOWED_ORIGINS; * is any.
LIVE_ALLOWED_ORIGINS: list[str] = env.list("LIVE_ALLOWED_ORIGINS", default=[])

# --- Chat ---------------------------------------------------------------------------------------------------------
# The Redis channel that carries chat to the sockets; installations that share a Redis need one each.
CHAT_CHANNEL: str = env.str("CHAT_CHANNEL", default="notifications:chat")
# Messages that somebody has not read after so many minutes become a notification.
CHAT_NOTICE_MINUTES: float = env.float("CHAT_NOTICE_MINUTES", default=10.0)
# How long somebody who is not heard of counts as here, in seconds.
CHAT_PRESENCE_SECONDS: float = env.float("CHAT_PRESENCE_SECONDS", default=45.0)
# People in one conversation, and octets of one file, at most.
CHAT_MAX_PARTICIPANTS: int = env.int("CHAT_MAX_PARTICIPANTS", default=1_000)
CHAT_MAX_FILE_BYTES: int = env.int("CHAT_MAX_FILE_BYTES", default=10_000_000)
# The largest picture that is opened, in pixels: a small file can be an enormous picture.
CHAT_MAX_IMAGE_PIXELS: int = env.int("CHAT_MAX_IMAGE_PIXELS", default=40_000_000)
# How long the address of a file is good for, in seconds.
CHAT_FILE_URL_SECONDS: int = env.int("CHAT_FILE_URL_SECONDS", default=300)
# A ClamAV daemon (clamd) that files are shown to, as host:port; empty: none.
CLAMAV_ADDRESS: str = env.str("CLAMAV_ADDRESS", default="")

# --- Platform mail (to admins, about their credentials and keys) ----------------------------------------------------
# smtp://user:password@host:port, smtp+tls://… or smtp+ssl://…; empty: nothing is mailed, the audit log still has it.
EMAIL_URL: str = env.str("EMAIL_URL", default="")
PLATFORM_FROM_EMAIL: str = env.str("PLATFORM_FROM_EMAIL", default="Notification service <no-reply@localhost>")
if EMAIL_URL:
    vars().update(env.email_url("EMAIL_URL"))
else:
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = PLATFORM_FROM_EMAIL
SERVER_EMAIL = PLATFORM_FROM_EMAIL

# --- Alerts and metrics -------------------------------------------------------------------------------------------
# A tenant's admins hear of a channel once so many of its messages failed within the window, and then not for a while.
FAILURE_NOTICE_COUNT: int = env.int("FAILURE_NOTICE_COUNT", default=20)
FAILURE_NOTICE_WINDOW_SECONDS: int = env.int("FAILURE_NOTICE_WINDOW_SECONDS", default=600)
FAILURE_NOTICE_PAUSE_SECONDS: int = env.int("FAILURE_NOTICE_PAUSE_SECONDS", default=3600)
# Who is mailed when a part of the service fails, how often each web process looks (0: never), and how long the oldest
# due message of a lane may wait before that counts as failing.
OPERATOR_EMAILS: list[str] = env.list("OPERATOR_EMAILS", default=[])
ALERT_CHECK_SECONDS: float = env.float("ALERT_CHECK_SECONDS", default=30.0)
QUEUE_AGE_ALERT_SECONDS: float = env.float("QUEUE_AGE_ALERT_SECONDS", default=120.0)
# What Prometheus shows to read /metrics; empty: the address does not exist (but on this machine, in development).
METRICS_TOKEN: str = env.str("METRICS_TOKEN", default="")

# --- Pages --------------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
# What unfold shows; it does not ask the admin site.
UNFOLD: dict[str, Any] = {"SITE_TITLE": "Notification service", "SITE_HEADER": "Notification service"}
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", default=str(BASE_DIR / "media")))
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = False
# Uploaded files stand in a directory, or in a bucket of an object store (then install the extra "s3").
UPLOADS_BUCKET: str = env.str("UPLOADS_BUCKET", default="")
_UPLOADS: dict[str, Any] = {
    "BACKEND": "django.core.files.storage.FileSystemStorage",
    "OPTIONS": {"location": MEDIA_ROOT / "uploads", "base_url": None},
}
if UPLOADS_BUCKET:
    _UPLOADS = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": UPLOADS_BUCKET,
            "endpoint_url": env.str("UPLOADS_ENDPOINT", default="") or None,
            "region_name": env.str("UPLOADS_REGION", default="") or None,
            "default_acl": None,
            "file_overwrite": True,
        },
    }
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "uploads": _UPLOADS,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

# --- Transport security -------------------------------------------------------------------------------------------
HTTPS: bool = env.bool("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = HTTPS and env.bool("HTTPS_REDIRECT", default=True)
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^health/$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_TLS_PROXY", default=False) else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Swagger UI and the admin need inline styles and scripts of their own; nothing may be loaded from another host.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'", "'unsafe-inline'", "'unsafe-eval'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'", "data:"],
        "worker-src": ["'self'", "blob:"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
    },
}

# --- Logs ---------------------------------------------------------------------------------------------------------
LOG_LEVEL: str = env.str("LOG_LEVEL", default="INFO")
LOG_FORMAT: str = env.str("LOG_FORMAT", default="json")  # json or console
LOG_DIR = Path(env.str("LOG_DIR", default=str(BASE_DIR / "notifications_logs")))
# Workers note here what was sent and is not committed yet, for whoever takes over from one that is killed.
JOURNAL_DIR = Path(env.str("JOURNAL_DIR", default=str(LOG_DIR / "journal")))
LOGGING_CONFIG = None
configure_logging(level=LOG_LEVEL, format=LOG_FORMAT, directory=LOG_DIR)
