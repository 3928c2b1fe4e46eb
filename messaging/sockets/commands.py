"""What clients of chat may ask for: each handler reads one command, calls one service, and answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, ParamSpec, TypeVar
from uuid import UUID

from django.utils import timezone

from messaging.events import announce
from messaging.limits import admit
from messaging.models import MessageType, Participant
from messaging.representation import represent_participant
from messaging.services import history, messages, presence
from messaging.services.messages import Draft
from messaging.services.people import person_of, place_of
from messaging.sockets.connection import ChatConnection, Typing
from messaging.sockets.hub import ChatHub
from notification_service.lib.errors import Conflict, InvalidInput, NotFound
from notification_service.lib.scope import tenant_scope
from notifications.inbox.frames import encode
from notifications.inbox.socket.commands import Handler
from notifications.inbox.socket.threads import in_thread
from tenants.callers import Caller

P = ParamSpec("P")
T = TypeVar("T")

Command = dict[str, Any]

#: Octets of a frame.
LONGEST: Final = 65_536
#: Seconds: how long it counts that somebody types, and how often that is told at most.
TYPING_ENDS: Final = 6.0
_TYPING_TOLD: Final = 2.0
_SHOWN: Final = 500


@lru_cache(maxsize=1)
def hub() -> ChatHub:
    """Return this process's hub."""
    return ChatHub()


async def _run(socket: ChatConnection, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a service in the scope of the socket's tenant."""

    def scoped() -> T:
        with tenant_scope(socket.person.tenant_id):
            return work(*args, **kwargs)

    return await in_thread(scoped)


def _acknowledge(socket: ChatConnection, more: Command, **answer: Any) -> None:
    if "ref" in more:
        socket.write_frame(type="ack", **answer, **more)


# --- Conversations ----------------------------------------------------------------------------------------------------


async def _join(socket: ChatConnection, command: Command, more: Command) -> None:
    conversation_id = _id(command, "conversation_id")
    joined = await _attend(socket, conversation_id, lambda: _run(socket, _look, socket.caller, conversation_id))
    socket.write_frame(type="conversation_joined", conversation_id=conversation_id, **joined, **more)
    socket.release(conversation_id)


def _look(caller: Caller, conversation_id: UUID) -> dict[str, Any]:
    """Return what a socket that joins is told."""
    person = person_of(caller)
    conversation, place = place_of(person, conversation_id)
    places = list(Participant.objects.filter(conversation=conversation, left_at=None).order_by("id")[:_SHOWN])
    found = presence.statuses(person.tenant_id, [each.user_id for each in places])
    return {
        "last_seq": conversation.last_seq,
        "revision": conversation.revision,
        "last_read_seq": place.last_read_seq,
        "participants": [represent_participant(each, found[each.user_id].status) for each in places],
    }


async def _attend(socket: ChatConnection, conversation_id: UUID, work: Callable[[], Any]) -> Any:
    """Join a conversation and look at it, in this order: what happens meanwhile waits. Who may not is put out."""
    had_joined = conversation_id in socket.joined
    socket.hold(conversation_id)
    hub().join(socket, conversation_id)
    try:
        return await work()
    except BaseException as error:
        if isinstance(error, NotFound) or not had_joined:
            hub().leave(socket, conversation_id)
        socket.release(conversation_id)
        raise


async def _leave(socket: ChatConnection, command: Command, more: Command) -> None:
    conversation_id = _id(command, "conversation_id")
    await stop_typing(socket, conversation_id)
    hub().leave(socket, conversation_id)
    _acknowledge(socket, more)


async def _resume(socket: ChatConnection, command: Command, more: Command) -> None:
    conversation_id = _id(command, "conversation_id")
    after_seq = _number(command, "after_seq")
    after_revision = None if command.get("after_revision") is None else _number(command, "after_revision")
    missed = await _attend(
        socket,
        conversation_id,
        lambda: _run(socket, history.missed, socket.caller, conversation_id, after_seq, after_revision),
    )
    conversation = missed.conversation
    top = {"last_seq": conversation.last_seq, "revision": conversation.revision}
    if missed.new is None:
        socket.write_frame(type="resync", conversation_id=conversation_id, **top, **more)
    else:
        for message in missed.new:
            await _tell_again(socket, conversation_id, "new_message", message)
        for message in missed.changed:
            kind = "message_deleted" if message["deleted_at"] else "message_updated"
            await _tell_again(socket, conversation_id, kind, message)
        count = len(missed.new) + len(missed.changed)
        socket.write_frame(type="resumed", conversation_id=conversation_id, **top, count=count, **more)
    socket.release(conversation_id, after_revision=conversation.revision)


async def _tell_again(socket: ChatConnection, conversation_id: UUID, kind: str, message: dict[str, Any]) -> None:
    await socket.write_patiently(encode({"type": kind, "conversation_id": conversation_id, "message": message}))


async def _mark_read(socket: ChatConnection, command: Command, more: Command) -> None:
    conversation_id, seq = _id(command, "conversation_id"), _number(command, "seq")
    await _run(socket, messages.mark_read, socket.caller, conversation_id, seq)
    _acknowledge(socket, more)


# --- Messages ---------------------------------------------------------------------------------------------------------


async def _send(socket: ChatConnection, command: Command, more: Command) -> None:
    client_message_id = _text(command, "client_message_id")
    more["client_message_id"] = client_message_id
    conversation_id = _id(command, "conversation_id")
    draft = Draft(
        client_message_id=client_message_id,
        message_type=_text(command, "message_type", MessageType.TEXT),
        text=_text(command, "text", ""),
        file_id=_id(command, "file_id") if command.get("file_id") is not None else None,
        reply_to=_id(command, "reply_to") if command.get("reply_to") is not None else None,
    )
    _forget_typing(socket, conversation_id)  # whoever gets the message sees that it is written
    sent = await _run(socket, messages.send, socket.caller, conversation_id, draft)
    _acknowledge(socket, more, message=sent.message, duplicate=sent.duplicate)


async def _edit(socket: ChatConnection, command: Command, more: Command) -> None:
    within, message_id, text = _id(command, "conversation_id"), _id(command, "message_id"), _text(command, "text")
    edited = await _run(socket, messages.edit, socket.caller, message_id, text, within=within)
    _acknowledge(socket, more, message=edited)


async def _delete(socket: ChatConnection, command: Command, more: Command) -> None:
    within, message_id = _id(command, "conversation_id"), _id(command, "message_id")
    deleted = await _run(socket, messages.delete, socket.caller, message_id, within=within)
    _acknowledge(socket, more, message=deleted)


async def _add_reaction(socket: ChatConnection, command: Command, more: Command) -> None:
    await _react(socket, command, more, present=True)


async def _remove_reaction(socket: ChatConnection, command: Command, more: Command) -> None:
    await _react(socket, command, more, present=False)


async def _react(socket: ChatConnection, command: Command, more: Command, *, present: bool) -> None:
    within, message_id, emoji = _id(command, "conversation_id"), _id(command, "message_id"), _text(command, "emoji")
    await _run(socket, messages.react, socket.caller, message_id, emoji, present=present, within=within)
    _acknowledge(socket, more)


# --- Presence and typing ----------------------------------------------------------------------------------------------


async def _update_presence(socket: ChatConnection, command: Command, more: Command) -> None:
    await in_thread(presence.update_own, socket.caller, _text(command, "status"))
    _acknowledge(socket, more)


async def _start_typing(socket: ChatConnection, command: Command, more: Command) -> None:
    conversation_id = _joined(socket, command)
    typing = socket.typing.setdefault(conversation_id, Typing())
    if typing.ends is not None:
        typing.ends.cancel()
    loop = asyncio.get_running_loop()
    typing.ends = loop.call_later(TYPING_ENDS, lambda: hub().errand(stop_typing(socket, conversation_id)))
    if time.monotonic() - typing.told_at >= _TYPING_TOLD:
        await in_thread(admit, socket.person.tenant_id, socket.person.user_id, "typing")
        typing.told_at = time.monotonic()
        await _tell_typing(socket, conversation_id, typing=True)
    _acknowledge(socket, more)


async def _stop_typing(socket: ChatConnection, command: Command, more: Command) -> None:
    await stop_typing(socket, _joined(socket, command))
    _acknowledge(socket, more)


async def stop_typing(socket: ChatConnection, conversation_id: UUID) -> None:
    """Tell that the owner of a socket types no more in a conversation, if they did."""
    if _forget_typing(socket, conversation_id):
        await _tell_typing(socket, conversation_id, typing=False)


def _forget_typing(socket: ChatConnection, conversation_id: UUID) -> bool:
    typing = socket.typing.pop(conversation_id, None)
    if typing is not None and typing.ends is not None:
        typing.ends.cancel()
    return typing is not None and typing.told_at > 0


async def _tell_typing(socket: ChatConnection, conversation_id: UUID, *, typing: bool) -> None:
    frame = {
        "type": "typing_indicator",
        "conversation_id": str(conversation_id),
        "user_id": socket.person.user_id,
        "typing": typing,
        "expires_in": TYPING_ENDS if typing else 0,
    }
    await in_thread(
        announce, socket.person.tenant_id, frame, conversations=[conversation_id], but=socket.person.user_id
    )


async def _ping(socket: ChatConnection, command: Command, more: Command) -> None:
    socket.write_frame(type="pong", at=timezone.now(), **more)


# --- Fields -----------------------------------------------------------------------------------------------------------


def _joined(socket: ChatConnection, command: Command) -> UUID:
    conversation_id = _id(command, "conversation_id")
    if conversation_id not in socket.joined:
        raise Conflict("Join the conversation first.")
    return conversation_id


def _id(command: Command, field: str) -> UUID:
    try:
        return UUID(command[field])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise InvalidInput.at(field, "Must be an id.") from None


def _text(command: Command, field: str, default: str | None = None) -> str:
    value = command.get(field, default)
    if not isinstance(value, str):
        raise InvalidInput.at(field, "Must be a text.")
    return value


def _number(command: Command, field: str) -> int:
    value = command.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise InvalidInput.at(field, "Must be a whole number, 0 or more.")
    return value


#: What a client of chat may ask for.
HANDLERS: Final[Mapping[str, Handler]] = {
    "join_conversation": _join,
    "leave_conversation": _leave,
    "resume": _resume,
    "mark_read": _mark_read,
    "send_message": _send,
    "edit_message": _edit,
    "delete_message": _delete,
    "add_reaction": _add_reaction,
    "remove_reaction": _remove_reaction,
    "update_presence": _update_presence,
    "start_typing": _start_typing,
    "stop_typing": _stop_typing,
    "ping": _ping,
}
