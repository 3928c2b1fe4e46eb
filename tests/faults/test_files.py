"""A marketer's day while workers die: a file and a campaign reach everybody who should be reached, and nobody else."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from uuid import uuid4

import pytest

from notification_service.local.control import ask, wait_for_state
from tests.running_service import Answer, RunningService, fetch, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("faults")]

#: Rows of the file, and which of them can not be sent, repeat an address in other letters, or name who wants nothing.
ROWS, BROKEN, REPEATED, SUPPRESSED = 3_000, 50, 100, 40
BULK: Final = "/api/v1/services/notifications/bulk"
CAMPAIGNS: Final = "/api/notifications/campaigns/"
WORKER: Final = "worker-bulk"
#: What is wrong with a broken row: the address and the cell ``code``, the column and the words that tell it.
WRONG: Final = [
    ("nobody", "C", "recipient", "must have an @-sign"),
    ("", "C", "recipient", "The row has no address."),
    ("two@@{domain}", "C", "recipient", "after the @-sign contains invalid characters"),
    ("fine{n}@{domain}", "", "code", "code"),
    ("spaced out@{domain}", "C", "recipient", "before the @-sign: SPACE"),
]


class Audience:
    """A file's rows in a random order, and what is to become of each."""

    def __init__(self, domain: str) -> None:
        chance = random.Random(20)
        good = ROWS - BROKEN - REPEATED
        self.people = [f"slow+0.02@n{n}.{domain}" for n in range(good)]
        self.suppressed = chance.sample(self.people, SUPPRESSED)
        rows: list[tuple[str, str, str]] = [(each, "C-1", "") for each in self.people]
        rows += [(each.replace("slow", "SLOW"), "C-2", "") for each in chance.sample(self.people, REPEATED)]
        for n in range(BROKEN):
            address, code, column, words = WRONG[n % len(WRONG)]
            rows.append((address.format(domain=domain, n=n), code, f"{column}:{words}"))
        chance.shuffle(rows)
        #: By row, as a spreadsheet numbers it.
        self.broken = {str(number): why for number, (_, _, why) in enumerate(rows, start=2) if why}
        self.file = "recipient,code\n" + "".join(f"{address},{code}\n" for address, code, _ in rows)

    @property
    def reached(self) -> set[str]:
        return set(self.people) - set(self.suppressed)


def upload(service: RunningService, file: str, **fields: str) -> dict[str, Any]:
    """Upload a file as a browser would; return the job."""
    edge = uuid4().hex
    named = {**{f'name="{name}"': value for name, value in fields.items()}, 'name="file"; filename="people.csv"': file}
    parts = [f"--{edge}\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}" for name, value in named.items()]
    request = urllib.request.Request(
        f"{service.demo['base_url']}{BULK}/csv",
        data=("\r\n".join(parts) + f"\r\n--{edge}--\r\n").encode(),
        headers={
            "Authorization": f"Bearer {service.demo['token']}",
            "Content-Type": f"multipart/form-data; boundary={edge}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 202
        return dict(json.loads(response.read()))


def broken_rows(service: RunningService, job_id: str) -> dict[str, dict[str, str]]:
    """Return the file of errors by row."""
    request = urllib.request.Request(
        f"{service.demo['base_url']}{BULK}/{job_id}/errors.csv",
        headers={"Authorization": f"Bearer {service.demo['token']}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return {line["row"]: line for line in csv.DictReader(io.StringIO(response.read().decode()))}


def assert_errors(service: RunningService, job_id: str, audience: Audience) -> None:
    """The file of errors has exactly the broken rows, each with what is wrong with it."""
    found = broken_rows(service, job_id)
    assert found.keys() == audience.broken.keys()
    for row, why in audience.broken.items():
        column, _, words = why.partition(":")
        assert found[row]["column"] == column, found[row]
        assert words in found[row]["reason"], found[row]


def mails(service: RunningService, domain: str) -> list[dict[str, Any]]:
    """Return everything that was caught for a domain."""
    found: list[dict[str, Any]] = []
    while True:
        before = f"&before={found[-1]['id']}" if found else ""
        url = f"{service.demo['sandbox_url']}/api/messages?limit=1000&view=summary&q={domain}{before}"
        page = fetch("GET", url, None, {}).body["messages"]
        found += page
        if len(page) < 1000:
            return found


def count(service: RunningService, domain: str) -> int:
    url = f"{service.demo['sandbox_url']}/api/messages?limit=1&view=summary&q={domain}"
    return int(fetch("GET", url, None, {}).body["total"])


def wait_for(service: RunningService, domain: str, more_than: int) -> None:
    wait_until(lambda: count(service, domain) > more_than, 40, every=0.1)


def quiet(service: RunningService, domain: str) -> int:
    """Wait until nothing more arrives for a while; return how many have."""
    known = -1
    for _ in range(30):
        now = count(service, domain)
        if now == known:
            return now
        known = now
        time.sleep(1)
    raise AssertionError("it goes on")


def kill(service: RunningService) -> None:
    """``kill -9`` the bulk worker. Its pool processes end what they have begun, and begin nothing more."""
    pid = service.pid(WORKER)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(one["pid"] != pid for one in ask(service.local, "status")["services"]), 20)


def post(service: RunningService, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    answer: Answer = service.call("POST", path, body if body is not None else {})
    assert answer.status == status, answer.body
    return dict(answer.body)


def get(service: RunningService, path: str) -> dict[str, Any]:
    answer = service.call("GET", path)
    assert answer.status == 200, answer.body
    return dict(answer.body)


def has(service: RunningService, path: str, **expected: Any) -> bool:
    found = get(service, path)
    return all(found[name] == value for name, value in expected.items())


@pytest.fixture
def audience(service: RunningService, domain: str) -> Audience:
    audience = Audience(domain)
    for address in audience.suppressed:
        post(service, "/api/notifications/suppressions/", {"channel": "email", "address": address}, 201)
    return audience


@pytest.fixture
def template(service: RunningService) -> str:
    """The slug of a template that only one test uses."""
    slug = f"offer-{uuid4().hex[:8]}"
    body = {"name": slug, "slug": slug, "channel": "email", "content": {"subject": "First", "body": "<p>{{code}}</p>"}}
    post(service, "/api/notifications/templates/", body, 201)
    return slug


def edit(service: RunningService, template: str) -> None:
    """Publish other words, which ask for what nobody has."""
    body = {"content": {"subject": "Second", "body": "<p>{{something_else}}</p>"}}
    assert service.call("PATCH", f"/api/notifications/templates/{template}/", body).status == 200


def pause_and_resume(service: RunningService, domain: str, path: str, meanwhile: Callable[[], None]) -> None:
    """Pause, see that nothing more arrives whatever happens meanwhile, and resume."""
    slash = "/" if path.startswith(CAMPAIGNS) else ""
    post(service, f"{path}/pause{slash}")
    stood = quiet(service, domain)
    meanwhile()
    wait_for_state(service.local, WORKER, "ready")
    time.sleep(2)
    assert count(service, domain) == stood, "paused"
    post(service, f"{path}/resume{slash}")


@pytest.mark.timeout(150)
def test_a_file_while_the_bulk_worker_is_killed_between_chunks(
    service: RunningService, domain: str, audience: Audience, template: str
) -> None:
    job = upload(service, audience.file, channel="email", template=template)
    kill(service)  # while the file is read, as a rule
    address = f"{BULK}/{job['id']}"
    wait_for(service, domain, 100)

    def meanwhile() -> None:
        kill(service)
        edit(service, template)

    pause_and_resume(service, domain, address, meanwhile)
    batch = f"/api/v1/services/notifications/batches/{job['batch_id']}"
    wait_until(partial(has, service, batch, completed=True), 60, every=0.5)
    found = get(service, address)
    assert (found["status"], found["progress"]["percent"]) == ("completed", 100.0)
    expected = {"rows_read": ROWS, "broken": BROKEN, "duplicates": REPEATED, "staged": len(audience.people)}
    expected |= {"recorded": len(audience.reached), "suppressed": SUPPRESSED}
    assert {name: found["progress"][name] for name in expected} == expected
    assert_errors(service, job["id"], audience)
    counts = get(service, batch)["counts"]
    assert counts == {
        "total": len(audience.people),
        "in_progress": 0,
        "success": len(audience.reached),
        "failed": 0,
        "suppressed": SUPPRESSED,
        "cancelled": 0,
    }
    caught = mails(service, domain)
    assert {mail["to"].lower() for mail in caught} == audience.reached, "nobody is left out, nobody else gets it"
    assert len(caught) == len(audience.reached), "each once"
    assert {mail["subject"] for mail in caught} == {"First"}, "the template was edited midway"


@pytest.mark.timeout(150)
def test_a_campaign_from_a_file_while_the_bulk_worker_is_killed_as_it_sends(
    service: RunningService, domain: str, audience: Audience, template: str
) -> None:
    job = upload(service, audience.file, channel="email", template=template, dry_run="true")
    wait_until(partial(has, service, f"{BULK}/{job['id']}", status="completed"), 40, every=0.2)
    assert_errors(service, job["id"], audience)
    assert count(service, domain) == 0, "a dry run sends nothing"
    body = {"name": domain, "channel": "email", "template": template, "csv_job": job["id"], "track": False}
    campaign = f"{CAMPAIGNS}{post(service, CAMPAIGNS, body, 201)['id']}"
    post(service, f"{campaign}/launch/")
    wait_for(service, domain, 100)
    kill(service)
    edit(service, template)
    wait_for_state(service.local, WORKER, "ready")
    wait_for(service, domain, count(service, domain) + 100)
    pause_and_resume(service, domain, campaign, lambda: None)
    wait_for(service, domain, count(service, domain) + 100)
    kill(service)
    wait_until(partial(has, service, f"{campaign}/progress/", status="completed"), 90, every=0.5)
    progress, report = get(service, f"{campaign}/progress/"), get(service, f"{campaign}/report/")
    reached = len(audience.reached)
    expected: dict[str, float] = {
        "total": len(audience.people),
        "staged": 0,
        "waiting": 0,
        "rejected": 0,
        "sent": reached,
        "failed": 0,
    }
    expected |= {"withheld": SUPPRESSED, "percent": 100.0}
    assert {name: progress[name] for name in expected} == expected
    sums = {name: report[name] for name in ("sent", "failed", "suppressed", "rejected", "cancelled")}
    assert sums == {"sent": reached, "failed": 0, "suppressed": SUPPRESSED, "rejected": 0, "cancelled": 0}
    assert report["recipients"] == sum(sums.values()), "the report adds up"
    caught = mails(service, domain)
    assert {mail["to"].lower() for mail in caught} == audience.reached, "nobody is left out, nobody else gets it"
    assert len(caught) == reached, "each once"
    assert {mail["subject"] for mail in caught} == {"First"}, "the template was edited midway"
