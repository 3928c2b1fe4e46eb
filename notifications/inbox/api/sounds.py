"""``/api/v1/sounds``."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.inbox import sounds
from notifications.inbox.api.serializers import SoundIn, SoundOut
from notifications.inbox.models import Sound
from tenants.api.permissions import AnyOf
from tenants.api.views import TenantView
from tenants.permissions import Permission

_LISTENERS = AnyOf({Permission.SELF, Permission.NOTIFICATIONS_READ, Permission.PROJECT_READ})
#: A sound never changes: whoever has it may keep it. Not in shared caches: it is its tenant's.
_CACHE = "private, max-age=31536000, immutable"


class _AnySound(BaseRenderer):
    """Lets clients ask for audio; errors are JSON all the same."""

    media_type = "audio/*"
    format = "audio"


@extend_schema(tags=["sounds"])
class SoundList(TenantView):
    """The tenant's sounds."""

    permissions = {"GET": _LISTENERS, "POST": Permission.PROJECT_MANAGE}
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="sounds_list", parameters=[OpenApiParameter("name", str)], responses=SoundOut(many=True)
    )
    def get(self, request: Request) -> Response:
        rows = Sound.objects.all()
        name = request.query_params.get("name", "")
        return self.paginated(rows.filter(name=name.replace("\x00", "")) if name else rows, SoundOut)

    @extend_schema(operation_id="sounds_upload", request={"multipart/form-data": SoundIn}, responses={201: SoundOut})
    def post(self, request: Request) -> Response:
        """Upload a sound. What it is is found out by its contents, not by its name."""
        given = self.valid(SoundIn)
        file = given["file"]
        sound = sounds.upload(self.caller, data=file.read(), file_name=file.name, name=given.get("name"))
        return Response(SoundOut(sound).data, status=201)


@extend_schema(tags=["sounds"])
class SoundDetail(TenantView):
    """One sound."""

    permissions = {"GET": _LISTENERS, "DELETE": Permission.PROJECT_MANAGE}
    renderer_classes = [*TenantView.renderer_classes, _AnySound]

    @extend_schema(operation_id="sounds_retrieve", responses={(200, "audio/*"): OpenApiTypes.BINARY})
    def get(self, request: Request, sound_id: UUID) -> HttpResponseBase:
        """The sound itself; it may be kept for a year."""
        sound = sounds.get(sound_id)
        etag = f'"{sound.sha256}"'
        response = get_conditional_response(request, etag=etag)
        if response is None:
            response = HttpResponse(sounds.read(sound), content_type=sound.content_type)
            response["Content-Disposition"] = f'inline; filename="{sound.name}"'
        response["Cache-Control"], response["ETag"], response["Vary"] = _CACHE, etag, "Authorization, X-API-Key"
        return response

    @extend_schema(operation_id="sounds_delete", responses={204: None})
    def delete(self, request: Request, sound_id: UUID) -> Response:
        sounds.delete(self.caller, sound_id)
        return Response(status=204)
