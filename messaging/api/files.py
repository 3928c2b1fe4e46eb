"""Files over REST: upload, an address for whom it concerns, and the download behind it."""

from __future__ import annotations

from uuid import UUID

from django.http import FileResponse
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.api.shapes import FileAddressOut, FileIn
from messaging.file_types import SHOWN
from messaging.models import ChatFile
from messaging.representation import represent_file, rfc3339
from messaging.services import files
from notification_service.lib.scope import tenant_scope
from tenants.api.permissions import PUBLIC
from tenants.api.views import ServiceView, TenantView
from tenants.callers import Caller
from tenants.permissions import Permission


@extend_schema(tags=["chat"])
class Upload(ServiceView):
    """Upload a file to a conversation; then send it with a message of type `file` or `image`."""

    permissions = Permission.SELF
    parser_classes = [MultiPartParser]

    @extend_schema(operation_id="chat_upload", request={"multipart/form-data": FileIn}, responses={201: FileAddressOut})
    def post(self, request: Request) -> Response:
        """Its type is found by its contents; pictures are encoded anew, without what their cameras wrote into them."""
        fields = self.valid(FileIn)
        file = files.upload(self.caller, fields["conversation_id"], fields["file"])
        with tenant_scope(file.tenant_id):
            return Response(_with_address(self.caller, file), status=201)


@extend_schema(tags=["chat"])
class FileDetail(TenantView):
    """A file, and where the caller can fetch it."""

    permissions = Permission.SELF

    @extend_schema(operation_id="chat_files_retrieve", responses=FileAddressOut)
    def get(self, request: Request, file_id: UUID) -> Response:
        return Response(_with_address(self.caller, files.get(self.caller, file_id)))


class FileContent(ServiceView):
    """The download: whoever has an address that was made for a person who still is in the conversation."""

    permissions = PUBLIC
    schema = None

    def get(self, request: Request, file_id: UUID) -> FileResponse:
        file, content = files.open_signed(file_id, request.query_params.get("token", ""))
        shown = file.content_type in SHOWN
        response = FileResponse(content, as_attachment=not shown, filename=file.name, content_type=file.content_type)
        response["Cache-Control"] = "private, max-age=300"
        response["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response["X-Content-Type-Options"] = "nosniff"
        response["Referrer-Policy"] = "no-referrer"
        return response


def _with_address(caller: Caller, file: ChatFile) -> dict[str, object]:
    url, expires_at = files.address(caller, file)
    return {**represent_file(file), "url": url, "url_expires_at": rfc3339(expires_at)}
