"""The admin's pages of templates: what it looks like, and what each version changed."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tenants.models import User
from tests.conftest import Persona
from tests.templates.conftest import TEMPLATES, Make


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.com"))
    return client


def test_a_page_shows_the_preview_and_the_history(staff: Client, admin: Persona, make: Make) -> None:
    made = make(content={"subject": "Hi {{name}}", "html": "<p>{{ name }} <script>x()</script></p>"})
    admin.client.patch(f"{TEMPLATES}{made['id']}/", {"content": {"subject": "Dear {{name}}"}, "comment": "politer"})
    page = staff.get(reverse("admin:message_templates_messagetemplate_change", args=[made["id"]])).content.decode()
    assert "politer" in page
    assert "-Hi {{name}}" in page
    assert "+Dear {{name}}" in page
    assert "Dear name" in page


def test_a_mail_is_shown_in_a_frame_where_nothing_runs(staff: Client, make: Make) -> None:
    made = make(content={"subject": "Hi {{name}}", "html": "<p>{{ name }} <script>x()</script></p>"})
    page = staff.get(reverse("admin:message_templates_messagetemplate_change", args=[made["id"]])).content.decode()
    assert 'sandbox=""' in page
    assert "<script>x()" not in page
    assert "&lt;script&gt;x()" in page


def test_a_text_without_html_is_shown_as_its_content(staff: Client, make: Make) -> None:
    made = make(channel="sms", content={"body": "Hi {{name}} <b>"})
    page = staff.get(reverse("admin:message_templates_messagetemplate_change", args=[made["id"]])).content.decode()
    assert "Hi name &lt;b&gt;" in page


def test_staff_write_nothing_here(staff: Client, make: Make) -> None:
    made = make()
    for name, args in (("add", []), ("delete", [made["id"]])):
        assert staff.get(reverse(f"admin:message_templates_messagetemplate_{name}", args=args)).status_code == 403
