#!/usr/bin/env python3
"""Events in, decisions made, messages out: a tour through a running ``make up`` that checks what it shows.

It publishes the two shapes that Kafka brings, posts events over REST, makes a rule with a digest and one with an
escalation, waits, and prints what arrived on each channel. Usage, in the directory where ``make up`` runs:
.venv/bin/python examples/events_tour.py   (needs confluent-kafka, which is there)
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from uuid import uuid4

from confluent_kafka import Producer

DEMO = Path(".local/demo.json")
PATIENCE = 30.0  # seconds


class Tour:
    """One run: people, rules and event types of its own, so that it can be run again."""

    def __init__(self, demo: dict[str, Any]) -> None:
        self.demo, self.run = demo, uuid4().hex[:8]
        self.user = f"crm-{self.run}"
        self.email, self.john = f"ada.{self.run}@example.com", f"john.{self.run}@example.com"
        self.phone, self.johns_phone = (f"+35386{number}" for number in random.sample(range(2_000_000, 9_999_999), 2))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the service as the demo tenant's admin. Exits with the answer if it is an error."""
        return fetch(method, self.demo["base_url"] + path, body, Authorization=f"Bearer {self.demo['token']}")

    def caught(self, address: str) -> list[dict[str, Any]]:
        """Return what the sandbox caught for an address, the newest first."""
        found: list[dict[str, Any]] = fetch(
            "GET", f"{self.demo['sandbox_url']}/api/messages?{urlencode({'to': address, 'limit': 20})}"
        )["messages"]
        return found

    def prepare(self) -> None:
        """Make a person, a rule with a digest, and one with an escalation."""
        person = {"external_user_id": self.user, "name": "Ada", "email": self.email, "phone": self.phone}
        self.call("POST", "/api/v1/users", person)
        digest = {
            "name": f"Comments, gathered ({self.run})",
            "eventTypes": [f"tour.comment.{self.run}"],
            "channels": ["email"],
            "digest": {"key": "{{user_id}}", "seconds": 3},
            "templates": {"email": {"subject": "{{count}} new comments", "text": "The last one: {{text}}"}},
        }
        escalation = {
            "name": f"Alarm ({self.run})",
            "condition": "level >= 3",
            "eventTypes": [f"tour.alarm.{self.run}"],
            "channels": ["inapp"],
            "templates": {"inapp": {"title": "Alarm in {{room}}", "body": "Level {{level}}"}},
            "escalation": [
                {
                    "after_seconds": 2,
                    "unless": "read",
                    "channels": ["sms"],
                    "templates": {"sms": {"body": "Still unread: alarm in {{room}}"}},
                }
            ],
        }
        for rule in (digest, escalation):
            made = self.call("POST", "/api/v1/rules", rule)
            say("rule", f"{made['name']} is active")

    def publish(self) -> None:
        """Publish both shapes to Kafka, one event twice."""
        tenant = self.demo["tenant_id"]
        flat = {
            "event_type": "reward_issued",
            "tenant_id": tenant,
            "event_id": f"reward-{self.run}",
            "employee_details": {"name": "John", "phone": self.johns_phone, "email": self.john},
            "value": 100,
        }
        structured = {
            "event_type": "task.assigned",
            "tenant_id": tenant,
            "event_id": f"task-{self.run}",
            "user_id": self.user,
            "timestamp": "2026-12-03T10:30:00Z",
            "payload": {"title": "Prepare the offer"},
            "metadata": {"trace": self.run},
        }
        producer = Producer({"bootstrap.servers": self.demo["kafka_bootstrap_servers"]})
        for topic, message in (("hr-events", flat), ("hr-events", flat), ("app-events", structured)):
            producer.produce(topic, json.dumps(message))
        if producer.flush(10):
            sys.exit("Kafka does not take the messages.")
        say("kafka", "reward_issued (flat, twice) and task.assigned (structured)")

    def post(self) -> None:
        """Post three comments in one call, and two alarms of which one is loud enough."""
        comments = [
            {
                "type": f"tour.comment.{self.run}",
                "clientEventId": f"comment-{self.run}-{number}",
                "payload": {"user_id": self.user, "text": f"Comment {number}"},
            }
            for number in (1, 2, 3)
        ]
        answers = self.call("POST", "/api/v1/events/batch", {"events": comments})["results"]
        check([answer["status"] for answer in answers] == ["accepted"] * 3, "the batch was taken")
        for level in (1, 3):
            self.call(
                "POST",
                "/api/v1/events",
                {
                    "type": f"tour.alarm.{self.run}",
                    "clientEventId": f"alarm-{self.run}-{level}",
                    "payload": {"user_id": self.user, "room": f"B{level}", "level": level},
                },
            )
        say("rest", "three comments and two alarms")

    def event(self, client_event_id: str) -> dict[str, Any] | None:
        """Return an event with what came of it, once it is there and processed."""
        found = self.call("GET", f"/api/v1/events?{urlencode({'client_event_id': client_event_id})}")["results"]
        if not found or found[0]["status"] == "pending":
            return None
        event: dict[str, Any] = self.call("GET", f"/api/v1/events/{found[0]['id']}")
        return event

    def look(self) -> None:
        """Wait for what is expected on each channel, and check that there is nothing else."""
        reward = wait_for(lambda: self.event(f"reward-{self.run}"), "the reward")
        task = wait_for(lambda: self.event(f"task-{self.run}"), "the task")
        quiet = wait_for(lambda: self.event(f"alarm-{self.run}-1"), "the quiet alarm")
        check(not records(quiet), "the quiet alarm told nobody")
        check({"email", "sms"} <= {record["channel"] for record in records(reward)}, "the reward went by mail and SMS")
        check("inapp" in {record["channel"] for record in records(task)}, "the task is in the inbox")

        wait_for(lambda: self.caught(self.john) and self.caught(self.johns_phone), "mail and SMS of the reward")
        wait_for(lambda: self.of("new comments", self.email), "the digest")
        wait_for(lambda: self.of("Still unread", self.phone), "the escalation")
        check(len(self.caught(self.john)) == 1, "the reward that came twice was told once")
        check([mail["subject"] for mail in self.of("new comments", self.email)] == ["3 new comments"], "one digest")
        check("B3" in self.of("Still unread", self.phone)[0]["text"], "the loud alarm escalated")
        for address in (self.john, self.johns_phone, self.email, self.phone):
            for message in reversed(self.caught(address)):
                say(message["channel"], f"to {address}: {message.get('subject') or message['text'].strip()}")

    def of(self, words: str, address: str) -> list[dict[str, Any]]:
        """Return what was caught for an address and has these words."""
        return [each for each in self.caught(address) if words in f"{each.get('subject')} {each['text']}"]


def records(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the notifications that came of an event."""
    return [record for reaction in event["reactions"] for record in reaction["records"]]


def fetch(method: str, url: str, body: Any = None, **headers: str) -> Any:
    """Send JSON and return the JSON of the answer. Exits with the answer if it is an error."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json", **headers}, method=method)  # noqa: S310
    try:
        with urlopen(request, timeout=10) as response:  # noqa: S310 - demo.json's address
            return json.load(response)
    except HTTPError as error:
        sys.exit(f"{error.code} from {url}: {error.read().decode()}")
    except URLError as error:
        sys.exit(f"{url} does not answer ({error.reason}): is `make up` running?")


def wait_for(look: Callable[[], Any], what: str) -> Any:
    """Return what ``look`` finds as soon as there is something. Exits when it takes too long."""
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > until:
            sys.exit(f"not within {PATIENCE:.0f} seconds: {what}")
        time.sleep(0.3)
    return found


def check(holds: bool, what: str) -> None:
    """Say that something holds, or exit."""
    if not holds:
        sys.exit(f"not so: {what}")
    say("ok", what)


def say(where: str, what: str) -> None:
    sys.stdout.write(f"{where:8} {what}\n")


def main() -> None:
    if not DEMO.exists():
        sys.exit(f"{DEMO} is not here: run `make up` first, and this in the same directory.")
    demo = json.loads(DEMO.read_text(encoding="utf-8"))
    if not demo["kafka_bootstrap_servers"]:
        sys.exit("This service has no Kafka.")
    tour = Tour(demo)
    tour.prepare()
    tour.publish()
    tour.post()
    tour.look()


if __name__ == "__main__":
    main()
