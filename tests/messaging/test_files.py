"""Files: what they are is found by their contents, pictures lose their metadata, and only participants fetch them."""

from __future__ import annotations

import io
import socketserver
import struct
import threading
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from PIL import Image
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from messaging.models import ChatFile
from messaging.services import files
from notification_service.lib.scope import tenant_scope
from tenants.models import Tenant, TenantStatus
from tests.conftest import Persona
from tests.messaging.conftest import CHAT, id_of, make_group, say

# Files are thrown away after commits.
pytestmark = pytest.mark.django_db(transaction=True)


def upload(persona: Persona, conversation: str, data: bytes, name: str = "file") -> Any:
    body = {"conversation_id": conversation, "file": SimpleUploadedFile(name, data)}
    return persona.client.post(f"{CHAT}/upload/", body, format="multipart")


def photo(size: tuple[int, int] = (40, 20)) -> bytes:
    """A JPEG as a telephone makes it: held sideways, with a place and a comment."""
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned clockwise
    exif[0x010F] = "SecretPhone"
    exif.get_ifd(0x8825)[2] = (53.0, 20.0, 59.9)  # GPS latitude
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, "JPEG", exif=exif, comment=b"secret comment")
    return out.getvalue()


def archive_of(members: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


def fetch(url: str) -> Any:
    """Get an address as anybody."""
    return APIClient().get(url.partition("3001")[2])


def content_of(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


@pytest.fixture
def group(ada: Persona, bob: Persona) -> str:
    return make_group(ada, bob)


def test_a_photo_loses_what_the_camera_wrote_and_stands_upright(ada: Persona, bob: Persona, group: str) -> None:
    original = photo()
    assert b"SecretPhone" in original
    uploaded = upload(ada, group, original, "IMG 1.png")
    assert uploaded.status_code == 201, uploaded.json()
    file = uploaded.json()
    assert (file["name"], file["content_type"]) == ("IMG 1.jpg", "image/jpeg")
    assert (file["width"], file["height"]) == (20, 40)
    message = say(ada, group, "", message_type="image", file_id=file["id"])
    assert message["file"]["id"] == file["id"]

    shown = bob.client.get(f"{CHAT}/files/{file['id']}/").json()
    answer = fetch(shown["url"])
    assert answer.status_code == 200
    assert answer["Content-Type"] == "image/jpeg"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]
    data = content_of(answer)
    assert len(data) == file["size"]
    assert b"Secret" not in data
    assert b"secret" not in data
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (20, 40)
        assert not picture.getexif()
        assert "comment" not in picture.info


def test_films_stay_films_without_their_comments(ada: Persona, group: str) -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=70, comment=b"secret")
    file = upload(ada, group, out.getvalue()).json()
    data = content_of(fetch(file["url"]))
    assert b"secret" not in data
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.n_frames, picture.info["duration"]) == (3, 70)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_pictures_keep_their_transparency(kind: str, ada: Persona, group: str) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (4, 4), (1, 2, 3, 0)).save(out, kind)
    file = upload(ada, group, out.getvalue()).json()
    with Image.open(io.BytesIO(content_of(fetch(file["url"])))) as picture:
        assert picture.convert("RGBA").getpixel((0, 0))[3] == 0


@pytest.mark.parametrize("side", [101, 20_000])
def test_a_small_file_that_is_an_enormous_picture_is_refused(
    side: int, ada: Persona, group: str, settings: Settings
) -> None:
    settings.CHAT_MAX_IMAGE_PIXELS = 10_000
    out = io.BytesIO()
    Image.new("1", (side, side)).save(out, "PNG")
    answer = upload(ada, group, out.getvalue())
    assert answer.json()["errors"].keys() == {"file"}
    assert "pixels" in answer.json()["detail"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"MZ\x90\x00\x03" + bytes(200), id="a Windows program"),
        pytest.param(b"\x7fELF\x02\x01\x01" + bytes(200), id="a Linux program"),
        pytest.param(photo()[:60], id="half a picture"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"no chunks" * 20, id="a picture that is none"),
        pytest.param(bytes(range(256)), id="octets"),
    ],
)
def test_what_may_not_be_sent_is_refused(data: bytes, ada: Persona, group: str) -> None:
    answer = upload(ada, group, data, "holiday.jpg")
    assert (answer.status_code, answer.json()["errors"].keys()) == (400, {"file"})


def test_pages_are_only_text_and_only_downloaded(ada: Persona, group: str) -> None:
    answer = upload(ada, group, b"<html><script>alert(1)</script></html>", "page.html")
    assert answer.json()["content_type"] == "text/plain"
    served = fetch(answer.json()["url"])
    assert served["Content-Disposition"].startswith("attachment")
    assert served["Content-Type"] == "text/plain"


def test_documents_and_names(ada: Persona, group: str) -> None:
    pdf = upload(ada, group, b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "../../etc/pass\x00wd.exe").json()
    assert (pdf["content_type"], pdf["name"]) == ("application/pdf", "passwd.pdf")
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    text = "application/vnd.oasis.opendocument.text"
    office = {"[Content_Types].xml": "", "word/document.xml": ""}
    for members, expected in (({"a.txt": "a"}, "application/zip"), (office, word), ({"mimetype": text}, text)):
        assert upload(ada, group, archive_of(members)).json()["content_type"] == expected
    assert upload(ada, group, archive_of({**office, "word/vbaProject.bin": ""})).status_code == 400


def test_files_have_a_largest_size(ada: Persona, group: str, settings: Settings) -> None:
    settings.CHAT_MAX_FILE_BYTES = 1000
    assert upload(ada, group, b"x" * 1001).json()["errors"].keys() == {"file"}
    assert upload(ada, group, b"x" * 1000).status_code == 201


def test_files_of_tenants_lie_apart(ada: Persona, group: str, tmp_path: Path) -> None:
    upload(ada, group, b"text")
    (kept,) = [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()]
    assert kept.relative_to(tmp_path / "uploads").parts[0] == str(ada.tenant_id)


def test_who_is_removed_loses_the_files_at_once(ada: Persona, bob: Persona, group: str) -> None:
    file = upload(ada, group, b"text").json()
    address = f"{CHAT}/files/{file['id']}/"
    assert bob.client.get(address).status_code == 404, "not sent yet"
    say(ada, group, message_type="file", file_id=file["id"])
    url = bob.client.get(address).json()["url"]
    assert fetch(url).status_code == 200
    ada.client.delete(f"{CHAT}/conversations/{group}/participants/{id_of(bob)}/")
    assert fetch(url).status_code == 404
    assert bob.client.get(address).status_code == 404


def test_addresses_are_signed_and_expire(ada: Persona, stranger: Persona, group: str, settings: Settings) -> None:
    first, second = upload(ada, group, b"one").json(), upload(ada, group, b"two").json()
    token = first["url"].partition("token=")[2]
    assert fetch(f":3001/api/notifications/chat/files/{second['id']}/content?token={token}").status_code == 404
    assert fetch(first["url"].replace("token=", "token=x")).status_code == 404
    assert fetch(first["url"].partition("?")[0]).status_code == 404
    assert stranger.client.get(f"{CHAT}/files/{first['id']}/").status_code == 404
    assert upload(stranger, group, b"text").status_code == 404
    assert fetch(first["url"]).status_code == 200
    Tenant.objects.filter(id=ada.tenant_id).update(status=TenantStatus.SUSPENDED)
    assert fetch(first["url"]).status_code == 404
    Tenant.objects.filter(id=ada.tenant_id).update(status=TenantStatus.ACTIVE)
    settings.CHAT_FILE_URL_SECONDS = -1
    assert fetch(first["url"]).status_code == 404


def test_a_file_is_sent_once_by_who_uploaded_it(ada: Persona, bob: Persona, group: str) -> None:
    file = upload(ada, group, b"text").json()
    send = f"{CHAT}/conversations/{group}/messages/"
    body = {"message_type": "file", "file_id": file["id"]}
    assert bob.client.post(send, body).json()["errors"].keys() == {"file_id"}
    assert ada.client.post(send, {**body, "message_type": "image"}).json()["errors"].keys() == {"file_id"}
    assert ada.client.post(send, body).status_code == 201
    assert ada.client.post(send, body).status_code == 400


def test_deleting_a_message_deletes_its_file(ada: Persona, group: str, tmp_path: Path) -> None:
    file = upload(ada, group, b"text").json()
    message = say(ada, group, message_type="file", file_id=file["id"])
    ada.client.delete(f"{CHAT}/messages/{message['id']}/")
    assert fetch(file["url"]).status_code == 404
    assert not [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()]


def test_files_that_are_never_sent_are_thrown_away(ada: Persona, group: str) -> None:
    sent, unsent = upload(ada, group, b"sent").json(), upload(ada, group, b"unsent").json()
    say(ada, group, message_type="file", file_id=sent["id"])
    with tenant_scope(ada.tenant_id):
        assert files.discard_unsent(timezone.now()) == 0
        assert files.discard_unsent(timezone.now() + files.UNSENT + timedelta(minutes=1)) == 1
        assert list(ChatFile.objects.values_list("id", flat=True)) == [UUID(sent["id"])]
    assert fetch(unsent["url"]).status_code == 404


class Clamd(socketserver.BaseRequestHandler):
    """A virus scanner that speaks INSTREAM and finds the word EICAR."""

    def handle(self) -> None:
        request = self.request.makefile("rb")
        assert request.read(10) == b"zINSTREAM\0"
        data = b""
        while size := struct.unpack("!I", request.read(4))[0]:
            data += request.read(size)
        self.request.sendall(b"stream: Eicar-Test FOUND\0" if b"EICAR" in data else b"stream: OK\0")


@pytest.fixture
def scanner(settings: Settings) -> Iterator[None]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Clamd) as server:
        settings.CLAMAV_ADDRESS = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def test_infected_files_are_refused(ada: Persona, group: str, scanner: None) -> None:
    answer = upload(ada, group, b"X5O! EICAR")
    assert (answer.status_code, answer.json()["code"]) == (400, "infected")
    clean = upload(ada, group, b"x" * 200_000)
    assert clean.status_code == 201
    with tenant_scope(ada.tenant_id):
        assert ChatFile.objects.get().scan == "clean"


def test_nothing_passes_by_a_scanner_that_is_away(ada: Persona, group: str, settings: Settings) -> None:
    settings.CLAMAV_ADDRESS = "127.0.0.1:1"
    assert upload(ada, group, b"text").status_code == 503
