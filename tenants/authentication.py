"""Authentication classes."""

from rest_framework.authentication import BaseAuthentication


class ApiKeyAuthentication(BaseAuthentication):
    pass


class JwtAuthentication(BaseAuthentication):
    pass
