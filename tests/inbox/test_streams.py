"""Numbers without gaps, and counters that are right, whatever happens and however much at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from notification_service.lib.errors import InvalidInput
from notification_service.lib.scope import current_tenant_id, platform_scope, tenant_scope
from notifications.inbox import broadcasts, replay, services, streams, tasks
from notifications.inbox.broadcasts import Person
from notifications.inbox.models import Broadcast, InboxChange, InboxMessage, InboxStream
from notifications.inbox.streams import NewMessage
from notifications.recipients.hooks import KnownAs
from notifications.recipients.models import Category, Preference, Recipient
from tenants.callers import Caller, system_caller
from tenants.models import Tenant

ADA, EVE = Person("ada", frozenset({"hr"})), Person("eve", frozenset({"employee"}))


def new(user_id: str = "ada", **fields: Any) -> NewMessage:
    return NewMessage(user_id=user_id, content={"title": "Hi"}, **fields)


def put(*user_ids: str) -> list[UUID]:
    messages = [new(user_id) for user_id in user_ids]
    streams.append(messages)
    return [message.id for message in messages]


def frames(tenant_id: UUID, after: int = 0, user_id: str = "ada") -> list[dict[str, Any]]:
    """Everything in a person's stream after a number: what a client that resumes gets."""
    with tenant_scope(tenant_id):
        top = InboxStream.objects.get(user_id=user_id).seq
    found = replay.frames_between(tenant_id, user_id, after, top)
    assert found is not None
    assert [seq for seq, _ in found] == list(range(after + 1, top + 1))
    return [orjson.loads(text) for _, text in found]


def truth(user_id: str = "ada") -> int:
    """How many messages are unread, counted."""
    return InboxMessage.objects.filter(
        user_id=user_id, read_at=None, archived_at=None, snoozed_until=None, deleted_at=None
    ).count()


def test_one_batch_numbers_the_messages_of_each_person_in_order(tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        ids = put("ada", "eve", "ada")
        (fourth,) = put("ada")
        rows = dict(InboxMessage.objects.values_list("id", "seq"))
    assert [rows[each] for each in (*ids, fourth)] == [1, 1, 2, 3]
    assert [(frame["id"], frame["seq"]) for frame in frames(tenant.id)] == [
        (str(ids[0]), 1),
        (str(ids[2]), 2),
        (str(fourth), 3),
    ]


def test_reading_moves_the_counter_once(tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        first, second = put("ada", "ada")
        assert services.mark_read("ada", ids=[first, uuid4()]).unread == 1
        again = services.mark_read("ada", ids=[first])
        assert (again.ids, again.seq, again.unread) == ((), 3, 1), "nothing changed, so there is no new number"
        assert services.mark_read("ada", ids=[second], read=False).ids == ()
        assert services.look(ADA).unread == 1
        assert services.mark_read("ada").unread == 0
        assert services.mark_read("ada", ids=[first], read=False).unread == 1
    last = frames(tenant.id)[-1]
    assert (last["type"], last["read"], last["ids"], last["unread"]) == ("read", False, [str(first)], 1)


def test_another_persons_messages_can_not_be_changed(tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        (message,) = put("ada")
        assert services.mark_read("eve", ids=[message]).ids == ()
        assert services.delete("eve", ids=[message]).ids == ()
        assert services.look(ADA).unread == 1


def test_too_many_at_once_are_refused(tenant: Tenant) -> None:
    with tenant_scope(tenant.id), pytest.raises(InvalidInput, match="ids: At most 500 at once"):
        services.archive("ada", ids=[uuid4() for _ in range(501)])


def test_what_is_snoozed_comes_back_by_itself(tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        (message,) = put("ada")
        services.mark_read("ada", ids=[message])
        services.snooze("ada", ids=[message], until=timezone.now() + timedelta(hours=1))
        assert services.look(ADA).unread == 0
        assert not services.messages_of("ada").exists()
        past = timezone.now() - timedelta(minutes=1)
        InboxMessage.objects.update(snoozed_until=past, wake_at=past)
    tasks.wake_due()
    with tenant_scope(tenant.id):
        assert services.look(ADA).unread == 1
        assert services.messages_of("ada").count() == 1
        with pytest.raises(InvalidInput, match="until: This moment is past"):
            services.snooze("ada", ids=[message], until=timezone.now())
    last = frames(tenant.id)[-1]
    assert (last["type"], last["id"], last["snooze_over"], last["seq"]) == ("notification", str(message), True, 4)
    assert (last["read_at"], last["unread"]) == (None, 1), "it is to be seen again"


def test_what_expires_leaves_inbox_and_counter_when_its_owner_looks(tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        streams.append([new(expires_at=timezone.now() - timedelta(minutes=1)), new()])
        assert services.messages_of("ada").count() == 1
        assert services.look(ADA).unread == 1
    assert [frame["type"] for frame in frames(tenant.id)] == ["removed", "notification", "removed"]


def test_no_frame_names_more_messages_than_a_call_may(tenant: Tenant) -> None:
    """A frame of a hundred thousand ids would be more than a socket can take."""
    with tenant_scope(tenant.id):
        put(*["ada"] * 1_201)
        services.mark_read("ada")
        before = services.look(ADA).seq
        assert len(services.delete("ada", only_read=True).ids) == 1_201
        assert services.look(ADA).seq == before + 3
        streams.append([new(expires_at=timezone.now() - timedelta(minutes=1)) for _ in range(501)])
        assert services.look(ADA).unread == 0
        sent = [orjson.loads(frame) for frame in InboxChange.objects.values_list("frame", flat=True)]
    removed = [(len(frame["ids"]), frame["unread"]) for frame in sent if frame["type"] == "removed"]
    assert removed == [(500, 0), (500, 0), (201, 0), (500, 1), (1, 0)]
    assert [frame["seq"] for frame in sent if frame["type"] == "removed"][:3] == [before + 1, before + 2, before + 3]


def test_deleted_messages_lose_their_content_and_keep_their_place(tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        first, second, third = put("ada", "ada", "ada")
        services.mark_read("ada", ids=[first])
        assert services.delete("ada", only_read=True).ids == (first,)
        assert services.delete("ada", ids=[second]).unread == 1
        assert InboxMessage.objects.get(id=first).content == {}
        assert services.delete("ada").ids == (third,)
    kinds = [(frame["type"], frame["seq"]) for frame in frames(tenant.id)]
    assert kinds == [(kind, place + 1) for place, kind in enumerate(["removed"] * 3 + ["read"] + ["removed"] * 3)]


def test_old_messages_go_and_positions_that_nobody_resumes_from(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant_scope(tenant.id):
        put("ada", "ada")
    monkeypatch.setattr(tasks.settings, "INBOX_RETENTION_DAYS", -1)
    monkeypatch.setattr(tasks, "_RESUMABLE", timedelta(days=-1))
    tasks.housekeep()
    with tenant_scope(tenant.id):
        assert services.look(ADA).unread == 0
        assert not InboxMessage.objects.exists()
        assert not InboxChange.objects.exists()
    assert replay.frames_between(tenant.id, "ada", 0, 3) is None, "then the client loads the list"


def test_an_erased_person_starts_over(tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        put("ada", "eve")
        before = services.look(ADA)
        services.erase_person(KnownAs(("ada",), ()))
        after = services.look(ADA)
        assert (after.seq, after.unread) == (0, 0)
        assert after.epoch != before.epoch
        assert services.look(EVE).seq == 1


def test_more_than_a_client_can_resume_is_refused(tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        put(*["ada"] * 301)
    assert replay.frames_between(tenant.id, "ada", 0, 301) is None
    assert len(replay.frames_between(tenant.id, "ada", 1, 301) or []) == 300


class TestBroadcasts:
    @pytest.fixture
    def sender(self, tenant: Tenant) -> Caller:
        return system_caller(tenant.id, "test")

    def test_nobody_has_a_row_before_they_look(self, tenant: Tenant, sender: Caller) -> None:
        with tenant_scope(tenant.id):
            put("ada")
            broadcasts.create(sender, audience="tenant", content={"title": "Hello all"})
            assert InboxMessage.objects.filter(broadcast__isnull=False).count() == 0
            assert services.look(ADA).unread == 2
            assert services.look(ADA).unread == 2
            assert services.look(EVE).unread == 1
            assert InboxMessage.objects.filter(broadcast__isnull=False).count() == 2
        assert [frame["type"] for frame in frames(tenant.id)] == ["notification", "broadcast"]

    def test_only_the_audience_gets_it(self, tenant: Tenant, sender: Caller) -> None:
        with tenant_scope(tenant.id):
            broadcasts.create(sender, audience="role", roles=["hr"], content={"title": "For HR"})
            broadcasts.create(sender, audience="users", user_ids=["eve", "bob"], content={"title": "For Eve"})
            assert [services.look(each).unread for each in (ADA, EVE)] == [1, 1]
            titles = {each: services.messages_of(each).get().content["title"] for each in ("ada", "eve")}
        assert titles == {"ada": "For HR", "eve": "For Eve"}

    def test_roles_of_the_tenants_own_people_count(self, tenant: Tenant, sender: Caller) -> None:
        with tenant_scope(tenant.id):
            Recipient.objects.create(
                tenant=tenant, external_user_id="bob", name="Bob", roles=["driver"], status="active"
            )
            broadcasts.create(sender, audience="role", roles=["driver"], content={"title": "Drive"})
            assert services.look(Person("bob")).unread == 1
            assert services.look(ADA).unread == 0

    def test_who_has_switched_its_category_off_does_not_get_it(self, tenant: Tenant, sender: Caller) -> None:
        with tenant_scope(tenant.id):
            Preference.objects.create(tenant_id=tenant.id, user_id="ada", switches={"*": {"inapp": False}})
            Category.objects.create(tenant_id=tenant.id, key="safety", required=True)
            for category in ("news", "safety"):
                broadcasts.create(sender, audience="tenant", content={"title": category}, category=category)
            assert [services.look(each).unread for each in (ADA, EVE)] == [1, 2]
            assert services.messages_of("ada").get().content["title"] == "safety"

    def test_its_content_may_say_how_long_it_lasts(self, tenant: Tenant, sender: Caller) -> None:
        ends = timezone.now().replace(microsecond=0) + timedelta(hours=3)
        with tenant_scope(tenant.id):
            content = {"title": "Lunch", "expires_at": ends.isoformat()}
            assert broadcasts.create(sender, audience="tenant", content=content).expires_at == ends
            content["expires_at"] = "2020-01-01T00:00:00Z"
            with pytest.raises(InvalidInput, match="expires_at"):
                broadcasts.create(sender, audience="tenant", content=content)

    def test_what_is_retracted_or_over_reaches_nobody_else(self, tenant: Tenant, sender: Caller) -> None:
        with tenant_scope(tenant.id):
            made = broadcasts.create(sender, audience="tenant", content={"title": "Oops"})
            assert services.look(ADA).unread == 1
            broadcasts.mark_retracted(sender, made.id)
        tasks.retract(str(tenant.id), str(made.id))
        with tenant_scope(tenant.id):
            over = broadcasts.create(sender, audience="tenant", content={"title": "Short"})
            Broadcast.objects.filter(id=over.id).update(expires_at=timezone.now())
            assert [services.look(each).unread for each in (ADA, EVE)] == [0, 0]
        assert frames(tenant.id)[-1]["reason"] == "retracted"

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"audience": "role"}, "roles"),
            ({"audience": "tenant", "user_ids": ["ada"]}, "user_ids"),
            ({"audience": "tenant", "expires_at": timezone.now() - timedelta(days=1)}, "expires_at"),
        ],
        ids=["no role", "users for everybody", "past"],
    )
    def test_nonsense_is_refused_by_name(
        self, tenant: Tenant, sender: Caller, fields: dict[str, Any], named: str
    ) -> None:
        with tenant_scope(tenant.id), pytest.raises(InvalidInput) as refused:
            broadcasts.create(sender, content={"title": "Hi"}, **fields)
        assert list(refused.value.errors) == [named]


ACTIONS: dict[str, Callable[[str, list[UUID]], object]] = {
    "append": lambda user, ids: streams.append([new(user), new(user)]),
    "read": lambda user, ids: services.mark_read(user, ids=ids),
    "unread": lambda user, ids: services.mark_read(user, ids=ids, read=False),
    "read all": lambda user, ids: services.mark_read(user),
    "archive": lambda user, ids: services.archive(user, ids=ids),
    "unarchive": lambda user, ids: services.archive(user, ids=ids, archived=False),
    "snooze": lambda user, ids: services.snooze(user, ids=ids, until=timezone.now() + timedelta(hours=1)),
    "wake": lambda user, ids: services.snooze(user, ids=ids, until=None),
    "acknowledge": lambda user, ids: services.acknowledge(user, ids=ids, by=user),
    "delete": lambda user, ids: services.delete(user, ids=ids),
    "broadcast": lambda user, ids: broadcasts.create(
        system_caller(current_tenant_id(), "test"),
        audience="tenant",
        content={"title": "All"},
    ),
    "look": lambda user, ids: services.look(Person(user)),
}


STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(ACTIONS)), st.sets(st.integers(0, 5), max_size=4)), min_size=1, max_size=12
)


@pytest.mark.django_db
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_numbers_have_no_gap_and_counters_are_right(
    tenant: Tenant, steps: list[tuple[str, set[int]]]
) -> None:
    user = str(uuid4())
    with tenant_scope(tenant.id):
        streams.append([new(user), new(user)])
        for action, places in steps:
            known = list(InboxMessage.objects.filter(user_id=user).order_by("seq").values_list("id", flat=True))
            ACTIONS[action](user, [known[place] for place in places if place < len(known)])
            assert InboxStream.objects.get(user_id=user).unread == truth(user)
    assert all(frame["unread"] >= 0 for frame in frames(tenant.id, user_id=user))


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_leave_no_gap(tenant: Tenant) -> None:
    def work(number: int) -> None:
        try:
            for _ in range(5):
                with tenant_scope(tenant.id):
                    # In this order on purpose: whoever locked as they came would wait in a circle.
                    streams.append([new(user) for user in (("ada", "eve"), ("eve", "ada"))[number % 2]])
                with tenant_scope(tenant.id):
                    services.mark_read("ada")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    with tenant_scope(tenant.id):
        assert InboxStream.objects.get(user_id="eve").unread == truth("eve") == 30
        assert InboxStream.objects.get(user_id="ada").unread == truth("ada")
    assert sum(frame["type"] == "notification" for frame in frames(tenant.id)) == 30
    with platform_scope("test"):
        assert replay.tops([(tenant.id, "eve")])[tenant.id, "eve"][1:] == (30, 30)
