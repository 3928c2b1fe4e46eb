"""Order: however many people talk at once, a conversation has one order, without gaps, and nothing stands twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messaging import limits
from messaging.models import ChatMessage, Conversation
from messaging.services import conversations, history, messages
from messaging.services.messages import Draft, Sent
from messaging.sockets.order import PATIENCE, Order
from notification_service.lib.errors import ServiceError
from notification_service.lib.rate_limit import Limit
from notification_service.lib.scope import tenant_scope
from tenants.callers import Caller
from tenants.models import Tenant
from tenants.permissions import Permission


def caller(tenant: Tenant, user_id: str) -> Caller:
    return Caller(tenant.id, "user", user_id, user_id.title(), permissions=frozenset({Permission.SELF}))


@pytest.fixture(autouse=True)
def _no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    plenty = Limit(10**9, 1.0)
    monkeypatch.setattr(limits, "_LIMITS", dict.fromkeys(limits._LIMITS, plenty))
    monkeypatch.setattr(limits, "_CONVERSATION", plenty)


@contextmanager
def _closed() -> Iterator[None]:
    try:
        yield
    finally:
        connection.close()


PEOPLE = ["ada", "bob", "cyd"]
#: Who does what: sends with one of few ids (so that many are repeated), edits, or reacts to, an earlier message.
DEEDS = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(["send", "send", "send", "react", "edit"]), st.integers(0, 5)),
    min_size=1,
    max_size=24,
)


@pytest.mark.django_db(transaction=True)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=DEEDS)
def test_concurrent_senders_share_one_order(tenant: Tenant, deeds: list[tuple[str, str, int]]) -> None:
    with tenant_scope(tenant.id):
        group, _ = conversations.create(caller(tenant, "ada"), kind="group", title="All", user_ids=PEOPLE)
        begin_seq, begin_revision = Conversation.objects.values_list("last_seq", "revision").get(id=group.id)
        target = messages.send(caller(tenant, "ada"), group.id, Draft(f"{group.id.hex}-target", text="0")).message

    def act(deed: tuple[str, str, int]) -> Sent | None:
        who, what, number = deed
        with _closed(), tenant_scope(tenant.id):
            if what == "send":
                return messages.send(caller(tenant, who), group.id, Draft(f"{group.id.hex}-{number}", text=f"{number}"))
            if what == "react":
                messages.react(caller(tenant, who), UUID(target["id"]), f"{number}", present=number % 2 == 0)
            elif who == "ada":
                messages.edit(caller(tenant, who), UUID(target["id"]), f"{number}")
            return None

    with ThreadPoolExecutor(6) as pool:
        sent = [each for each in pool.map(act, deeds) if each is not None]

    with tenant_scope(tenant.id):
        after = Conversation.objects.get(id=group.id)
        rows = list(ChatMessage.objects.filter(conversation=group).order_by("seq"))
        missed = history.missed(caller(tenant, "bob"), group.id, begin_seq, begin_revision)
    assert [row.seq for row in rows] == list(range(1, after.last_seq + 1)), "total, without gaps"
    # Once per sender and id, and whoever repeated it was given the first.
    distinct = {(who, number) for who, what, number in deeds if what == "send"}
    assert after.last_seq - begin_seq == len(distinct) + 1
    assert len({each.message["id"] for each in sent}) == len(distinct)
    assert sum(not each.duplicate for each in sent) == len(distinct)
    # Times and revisions do not contradict the order.
    assert [row.created_at for row in rows] == sorted(row.created_at for row in rows)
    assert max(row.revision for row in rows) <= after.revision
    # Whoever was away gets exactly what they lack.
    assert missed.new is not None
    assert [message["seq"] for message in missed.new] == list(range(begin_seq + 1, after.last_seq + 1))


@pytest.mark.django_db(transaction=True)
def test_two_people_who_begin_at_once_share_one_conversation(tenant: Tenant) -> None:
    def begin(pair: tuple[str, str]) -> UUID:
        with _closed(), tenant_scope(tenant.id):
            made, _ = conversations.create(caller(tenant, pair[0]), kind="direct", user_ids=[pair[1]])
            return made.id

    for number in range(5):
        one, other = f"a{number}", f"b{number}"
        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(begin, [(one, other), (other, one)] * 3))) == 1


@pytest.mark.django_db(transaction=True)
def test_a_message_is_before_or_after_a_removal(tenant: Tenant) -> None:
    """Whoever is removed while they send has sent, or has not; nothing of theirs comes after their removal."""
    for _ in range(5):
        with tenant_scope(tenant.id):
            group, _new = conversations.create(caller(tenant, "ada"), kind="group", title="x", user_ids=["bob"])
            group_id = group.id

        def talk(number: int, group_id: UUID = group_id) -> bool:
            with _closed(), tenant_scope(tenant.id):
                try:
                    messages.send(caller(tenant, "bob"), group_id, Draft(f"{group_id.hex}{number}", text="Hi"))
                except ServiceError:
                    return False
                return True

        def remove(group_id: UUID = group_id) -> None:
            with _closed(), tenant_scope(tenant.id):
                conversations.remove(caller(tenant, "ada"), group_id, "bob")

        with ThreadPoolExecutor(4) as pool:
            talking = [pool.submit(talk, number) for number in range(6)]
            pool.submit(remove).result()
            heard = sum(each.result() for each in talking)
        with tenant_scope(tenant.id):
            rows = list(ChatMessage.objects.filter(conversation=group_id).order_by("seq"))
        removal = next(
            row.seq for row in rows if row.text.endswith("removed bob.") or row.text.endswith("removed Bob.")
        )
        theirs = [row.seq for row in rows if row.sender_id == "bob"]
        assert len(theirs) == heard
        assert all(seq < removal for seq in theirs)


def test_too_much_missed_is_a_resync(db: None, tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        group, _ = conversations.create(caller(tenant, "ada"), kind="group", title="x")
        start = Conversation.objects.get(id=group.id)
        for number in range(history.MAX_MISSED):
            messages.send(caller(tenant, "ada"), group.id, Draft(str(number), text="Hi"))
        exactly = history.missed(caller(tenant, "ada"), group.id, start.last_seq, start.revision)
        assert exactly.new is not None
        assert len(exactly.new) == history.MAX_MISSED
        messages.send(caller(tenant, "ada"), group.id, Draft("more", text="Hi"))
        assert history.missed(caller(tenant, "ada"), group.id, start.last_seq, start.revision).new is None


def passed_on(play: Callable[[Order[int]], None], wait: float = 0.0) -> list[int]:
    got: list[int] = []

    async def whole() -> None:
        play(Order(got.append))
        await asyncio.sleep(wait)

    asyncio.run(whole())
    return got


@given(st.permutations(range(2, 9)))
def test_frames_that_overtake_each_other_are_put_in_order(numbers: list[int]) -> None:
    def play(order: Order[int]) -> None:
        for number in [1, *numbers]:
            order.take(number, number)

    assert passed_on(play) == list(range(1, 9))


def test_what_does_not_come_is_not_waited_for_long() -> None:
    def play(order: Order[int]) -> None:
        for number in (1, 4, 3):
            order.take(number, number)

    assert passed_on(play) == [1]
    assert passed_on(play, PATIENCE * 2) == [1, 3, 4]


def test_what_comes_late_comes_all_the_same() -> None:
    def play(order: Order[int]) -> None:
        for number in (5, 3, 6):
            order.take(number, number)

    assert passed_on(play) == [5, 3, 6]
