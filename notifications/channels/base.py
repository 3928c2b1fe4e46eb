"""The contract of a channel: what content looks like, what an address looks like, how words are filled in.

A channel is one file in this package. Content travels as plain JSON; ``compile`` turns it into something that
renders quickly for many contexts, and ``render`` is the short way for one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from pydantic import BaseModel

if TYPE_CHECKING:
    from notifications.channels.placeholders import TextCompiler


class ContentError(Exception):
    """Content or address that can never be sent. ``field`` says where; ``placeholder`` is the missing name, if any."""

    def __init__(self, message: str, *, field: str, placeholder: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.placeholder = placeholder


class CompiledContent(ABC):
    """Content whose placeholders are found and whose static parts are prepared."""

    #: Names of the placeholders, as written.
    placeholders: frozenset[str]

    @abstractmethod
    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Fill in the context. Raises ``ContentError`` naming the first placeholder that has no value."""

    def surely_renders(self, context: Mapping[str, Any]) -> bool:
        """Whether ``render`` is certain to succeed, told at a glance; False says nothing.

        Whoever writes messages by the thousand proves so that each can be filled in, without filling it in.
        """
        return False


class Channel(ABC):
    """Base class of all channels."""

    key: ClassVar[str]
    label: ClassVar[str]
    #: Provider keys in the order in which they are preferred when a credential does not say.
    providers: ClassVar[tuple[str, ...]]
    #: Shape and limits of the content, as shown in the API documentation.
    content: ClassVar[type[BaseModel]]

    @abstractmethod
    def normalise_address(self, address: str, *, region: str | None = None) -> str:
        """Return the one form of the address that is stored and compared. Raises ``ContentError``."""

    def user_id_of(self, address: str) -> str:
        """Return the user id that a normal address is by itself, or nothing: most are nobody's that we know of."""
        return ""

    @abstractmethod
    def validate(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content with its shape and limits checked. Raises ``ContentError`` naming the field."""

    def validate_part(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The same for content that only adds to what a template says: nothing has to be there."""
        return self.validate(content)

    @abstractmethod
    def compile(self, content: Mapping[str, Any], texts: TextCompiler | None = None) -> CompiledContent:
        """Find the placeholders of valid content. Raises ``ContentError`` for a malformed placeholder.

        ``texts`` compiles each text; by default the texts of plain content, which hold placeholders and no more.
        """

    def render(self, content: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
        """Compile and fill in once. Raises ``ContentError``."""
        return self.compile(content).render(context)

    def prepare(self, content: Mapping[str, Any], *, part: bool = False) -> tuple[dict[str, Any], CompiledContent]:
        """Validate and compile; what was prepared lately is remembered. Raises ``ContentError``.

        ``part`` says that the content only adds to a template's. The result is shared: do not change it.
        """
        source = orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=str)
        if len(source) > _REMEMBER_UP_TO:
            valid = self.validate_part(content) if part else self.validate(content)
            return valid, self.compile(valid)
        return _prepare(self, source, part)


#: Octets of a content's JSON above which it is not remembered.
_REMEMBER_UP_TO = 64 * 1024


@lru_cache(maxsize=256)
def _prepare(channel: Channel, source: bytes, part: bool) -> tuple[dict[str, Any], CompiledContent]:
    content = orjson.loads(source)
    valid = channel.validate_part(content) if part else channel.validate(content)
    return valid, channel.compile(valid)
