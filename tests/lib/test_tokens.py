"""Tokens in a queue: one for each thing, however long the queue and whatever is believed of it."""

from __future__ import annotations

import time
from collections import Counter, deque
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from notification_service.lib import redis as lib_redis
from notification_service.lib.redis import attempt
from notification_service.lib.tokens import Taken, Tokens

HOUR = 3_600_000


@pytest.fixture
def key() -> str:
    return f"test:tokens:{uuid4()}"


def said(key: str) -> str | None:
    return attempt(lambda client: client.get(key))  # type: ignore[return-value]


def test_there_is_one_until_it_is_dropped(key: str) -> None:
    tokens = Tokens(queued_ms=HOUR, running_ms=HOUR)
    text = tokens.issue(key)
    assert text is not None
    assert tokens.issue(key) is None
    taken = tokens.take(key, text)
    assert taken is not None
    assert tokens.issue(key) is None, "it is worked on"
    tokens.keep(key, taken)
    assert said(key) == f"running {taken.id}"
    again = tokens.put_back(key, taken)
    assert again.split()[0] == text.split()[0]
    assert said(key) == f"queued {taken.id}"
    tokens.drop(key)
    assert tokens.issue(key) is not None


def test_a_kind_that_is_not_kept_is_free_once_it_is_taken(key: str) -> None:
    tokens = Tokens(queued_ms=HOUR)
    first = tokens.issue(key)
    assert first is not None
    taken = tokens.take(key, first)
    second = tokens.issue(key)
    assert second is not None, "whoever comes while it is worked on sends another"
    assert tokens.issue(key, taken) is None, "which goes on in its place"
    assert tokens.take(key, second) is not None
    assert tokens.issue(key, taken) is not None


def test_of_two_the_older_goes_on(key: str) -> None:
    tokens = Tokens(queued_ms=HOUR, running_ms=HOUR)
    old = tokens.issue(key)
    tokens.drop(key)  # nobody believes in it any more
    new = tokens.issue(key)
    assert old is not None
    assert new is not None
    taken = tokens.take(key, old)
    assert taken is not None
    assert tokens.take(key, new) is None, "while the older one is worked on"
    tokens.put_back(key, taken)
    assert tokens.take(key, new) is None, "while the older one is in the queue"
    tokens.drop(key)
    assert tokens.take(key, new) is not None


def test_what_is_given_by_hand_is_let_on(key: str) -> None:
    tokens = Tokens(queued_ms=HOUR, running_ms=HOUR)
    tokens.issue(key)
    assert tokens.take(key, "") == Taken()


def test_whoever_waited_long_is_believed_to_wait_as_long_again(key: str) -> None:
    tokens = Tokens(queued_ms=1_000, running_ms=1_000)
    tokens.put_back(key, Taken("a", waited=200_000))
    assert 590_000 < int(attempt(lambda client: client.pttl(key))) <= 600_000  # type: ignore[arg-type]
    tokens.put_back(key, Taken("a", waited=10**12))
    assert int(attempt(lambda client: client.pttl(key))) <= HOUR  # type: ignore[arg-type]


def test_a_queue_that_is_longer_than_the_belief_does_not_grow(key: str) -> None:
    """A sweeper looks at each step for what has no token; without an end to the second ones there were 100 at last."""
    things, tokens = [f"{key}:{number}" for number in range(5)], Tokens(queued_ms=30, running_ms=1_000)
    queue: deque[tuple[str, str]] = deque()

    def step(*, sweep: bool) -> None:
        for thing in things if sweep else ():
            if text := tokens.issue(thing):
                queue.append((thing, text))
        thing, text = queue.popleft()
        if taken := tokens.take(thing, text):
            time.sleep(0.02)
            queue.append((thing, tokens.put_back(thing, taken)))

    for _ in range(100):
        step(sweep=True)
    assert len(queue) <= 4 * len(things)
    for _ in range(40):
        step(sweep=False)
    assert Counter(thing for thing, _ in queue) == Counter(things), "one each, and none is lost"


def test_without_redis_nobody_is_kept_from_working(key: str, settings: Settings) -> None:
    there, tokens = settings.REDIS_URL, Tokens(queued_ms=HOUR, running_ms=HOUR)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    lib_redis.connection.cache_clear()
    try:
        assert tokens.issue(key) is None
        taken = tokens.take(key, f"abc {time.time_ns() // 1_000_000}")
        assert taken is not None
        assert taken.id == "abc"
        tokens.keep(key, taken)
        assert tokens.put_back(key, taken).startswith("abc ")
        tokens.drop(key)
    finally:
        settings.REDIS_URL = there
        lib_redis.connection.cache_clear()
        lib_redis._breaker.succeeded()
