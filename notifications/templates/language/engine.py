"""Liquid for words of strangers: bounded in time and memory, no way into Python objects, strict on what is missing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from io import StringIO
from typing import Any, ClassVar, Final, TextIO

from babel import Locale
from liquid import Environment, RenderContext
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.capture_tag import CaptureNode, CaptureTag
from liquid.exceptions import FilterArgumentError, LiquidError
from liquid.output import LimitedStringIO
from liquid.template import BoundTemplate
from liquid.undefined import UNDEFINED, Undefined
from liquid.utils import ReadOnlyChainMap

from notifications.channels.base import ContentError
from notifications.channels.placeholders import NAME, Text
from notifications.templates.language import filters
from notifications.templates.language.scan import scan
from notifications.templates.language.values import FilterError, Safe, as_list, as_text, member

#: Seconds of this thread's own work that one text may take.
MAX_SECONDS: Final = 0.25
#: Octets that one text may come to.
MAX_OUTPUT: Final = 1024 * 1024
#: Lookups between two looks at the clock.
_EVERY: Final = 32
_TAGS: Final = frozenset(
    {"if", "unless", "case", "for", "break", "continue", "assign", "capture", "comment", "#", "content", "illegal"}
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_RESERVED: Final = frozenset(
    {"true", "false", "nil", "null", "empty", "blank", "and", "or", "not", "contains", "if", "else", "in", "with",
     "for", "as", "reversed", "limit", "offset", "continue", "cols"}
)  # fmt: skip


class MissingValue(LiquidError):
    """Something has no value where one is needed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"'{name}' has no value", token=None)
        self.name = name


class OutOfTime(LiquidError):
    """The text takes too long to render."""


class Missing(Undefined):
    """What has no value: false in a condition, replaced by ``default``, and an error everywhere else."""

    def __init__(self, name: str, *, token: Any = None, obj: object = UNDEFINED, hint: str | None = None) -> None:
        super().__init__(name, token=token, obj=obj, hint=hint)

    def __contains__(self, item: object) -> bool:
        raise MissingValue(self.name)

    def __getitem__(self, key: object) -> object:
        raise MissingValue(self.name)

    def __len__(self) -> int:
        raise MissingValue(self.name)

    def __iter__(self) -> Iterator[Any]:
        raise MissingValue(self.name)

    def __str__(self) -> str:
        raise MissingValue(self.name)

    def __int__(self) -> int:
        raise MissingValue(self.name)

    def __reversed__(self) -> Iterator[Any]:
        raise MissingValue(self.name)

    __hash__ = Undefined.__hash__

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or other is False or isinstance(other, Undefined)


class Nothing(Missing):
    """What may be missing: it is false in a condition, empty as a list, and nothing where it is shown."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, item: object) -> bool:
        return False


class _Context(RenderContext):
    """Looks values up in mappings and lists only, and watches the clock."""

    __slots__ = ("bound", "escape", "formats", "lookups", "optional", "until")

    def __init__(self, template: BoundTemplate, values: Mapping[str, Any]) -> None:
        super().__init__(template, globals=values)
        self.formats = Locale("en")
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)  # without "now" and "today"
        self.escape: Callable[[str], str] | None = None
        self.bound: Mapping[str, Any] = {}
        self.optional: Collection[str] = ()
        self.lookups = 0
        self.until = time.thread_time() + MAX_SECONDS

    def get(self, path: list[object], *, token: Any, default: object = UNDEFINED) -> object:
        self.lookups += 1
        if not self.lookups % _EVERY:
            self.watch()
        name = ".".join(map(str, path))
        if (value := self.bound.get(name)) is None and (value := self._whole(name)) is None:
            first, *rest = path if len(path) > 1 else name.split(".")
            value = self._whole(first)
            for key in rest:
                value = member(value, key)
        if value == "" and name in self.bound:
            return Nothing(name, token=token)
        if value is None:
            kind = Nothing if name in self.optional else Missing
            return kind(name, token=token) if default is UNDEFINED else default
        return value

    def get_buffer(self, buf: Any = None) -> StringIO:
        """A buffer that counts what is written, and leaves line ends alone."""
        used = buf.size if isinstance(buf, LimitedStringIO) else 0
        return LimitedStringIO(limit=MAX_OUTPUT - used, newline="")

    def watch(self) -> None:
        """Raise ``OutOfTime`` if this has taken too long."""
        if time.thread_time() > self.until:
            raise OutOfTime(f"it takes longer than {MAX_SECONDS} s to render", token=None)

    def as_output(self, value: object, shown: object) -> str:
        """Return a value as it stands in the output, escaped unless it is safe."""
        if isinstance(value, Undefined) or value is None:
            raise MissingValue(getattr(value, "name", str(shown)))
        try:
            text = as_text(value)
        except FilterError as error:
            raise FilterArgumentError(f"'{shown}' {error}", token=None) from None
        return text if self.escape is None or isinstance(value, Safe) else self.escape(text)

    def _whole(self, name: object) -> Any:
        try:
            return self.scope[name]  # type: ignore[index]
        except (KeyError, TypeError):
            return None


class _Template(BoundTemplate):
    context_class = _Context


class _OutputNode(OutputNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        assert isinstance(context, _Context)  # noqa: S101 - for the type checker
        try:
            return buffer.write(context.as_output(self.expression.evaluate(context), self.expression))
        except MissingValue as error:
            if error.name not in context.optional and error.name not in context.bound:
                raise
            return 0


class _Output(Output):
    node_class = _OutputNode


class _CaptureNode(CaptureNode):
    def _assign(self, context: RenderContext, buf: Any) -> None:
        assert isinstance(context, _Context)  # noqa: S101 - for the type checker
        context.assign(self.name, Safe(buf.getvalue()) if context.escape else buf.getvalue())


class _CaptureTag(CaptureTag):
    node_class = _CaptureNode


class _Environment(Environment):
    block_nesting_limit: ClassVar[int] = 20
    context_depth_limit: ClassVar[int] = 20
    loop_iteration_limit: ClassVar[int | None] = 10_000
    local_namespace_limit: ClassVar[int | None] = 2 * MAX_OUTPUT
    output_stream_limit: ClassVar[int | None] = MAX_OUTPUT
    template_class = _Template

    def __init__(self) -> None:
        super().__init__(undefined=Missing)
        self.tags = {name: tag for name, tag in self.tags.items() if name in _TAGS}
        self.add_tag(_Output)
        self.add_tag(_CaptureTag)
        self.filters = {name: _filter(name) for name in filters.FILTERS}


def _filter(name: str) -> Callable[..., Any]:
    def act(value: Any, *arguments: Any, context: _Context) -> Any:
        context.watch()
        if isinstance(value, Undefined):
            if name != "default":
                raise MissingValue(value.name)
            value = None
        for each in arguments:
            if isinstance(each, Undefined):
                raise MissingValue(each.name)
        try:
            value = as_list(value) if isinstance(value, range) else value
            return filters.apply(name, context.formats, value, *arguments)
        except FilterError as error:
            raise FilterArgumentError(f"a value for '{name}' {error}", token=None) from None

    act.with_context = True  # type: ignore[attr-defined]
    return act


_environment = _Environment()


class LiquidText(Text):
    """A text with conditions, loops or anything else that only Liquid can do."""

    __slots__ = ("_bound", "_formats", "_optional", "_template")

    is_fixed: ClassVar[bool] = False

    def __init__(
        self, source: str, field: str, formats: Locale, bound: Mapping[str, Any], optional: Collection[str] = ()
    ) -> None:
        super().__init__((), field)
        self._formats, self._bound, self._optional = formats, bound, optional
        self._template = self._safely(partial(_environment.from_string, _prepared(source, field)))
        found = self._safely(lambda: self._template.analyze(include_partials=False))
        if unknown := sorted(found.filters.keys() - filters.FILTERS.keys()):
            known = ", ".join(sorted(filters.FILTERS))
            raise ContentError(f"{field}: Unknown filter {unknown[0][:60]!r}; known: {known}.", field=field)
        names = (_name(each.segments) for variables in found.globals.values() for each in variables)
        self.placeholders = tuple(dict.fromkeys(name for name in names if name not in bound))

    def render(self, context: Mapping[str, Any], escape: Callable[[str], str] | None = None) -> str:
        """Fill in the values. Raises ``ContentError`` naming the placeholder, also for what takes too much."""
        liquid = _Context(self._template, context)
        liquid.escape, liquid.formats = escape, self._formats
        liquid.bound, liquid.optional = self._bound, self._optional
        buffer = liquid.get_buffer()
        self._safely(partial(self._template.render_with_context, liquid, buffer))
        return buffer.getvalue()

    def _safely(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except MissingValue as error:
            raise ContentError(
                f"Missing value for placeholder '{error.name}' in {self.field}.",
                field=self.field,
                placeholder=error.name,
            ) from None
        except LiquidError as error:
            token: Any = error.token
            at = f" at position {token.start_index + 1}" if token is not None and token.start_index >= 0 else ""
            raise ContentError(f"{self.field}: {str(error.message)[:300]}{at}.", field=self.field) from None
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError, AttributeError) as error:
            # Whatever a stranger's words do to the engine is a fault of the words.
            message = f"{self.field}: It can not be rendered ({type(error).__name__})."
            raise ContentError(message, field=self.field) from None


def _prepared(source: str, field: str) -> str:
    """Return a source that Liquid's parser reads: names with spaces and the like in brackets, nothing left open."""
    return "".join(
        _output(part.inner) if part.kind == "output" else _tag(part.inner) if part.kind == "tag" else part.source
        for part in scan(source, field)
    )


def _output(inner: str) -> str:
    before, after = "-" * inner.startswith("-"), "-" * (inner.endswith("-") and len(inner) > 1)
    body = inner[len(before) : len(inner) - len(after)].strip()
    name, bar, rest = body.partition("|")
    name = name.strip()
    if NAME.fullmatch(name) and (not _PLAIN.fullmatch(name) or _RESERVED & set(name.split("."))):
        body = f'["{name}"] {bar}{rest}'.strip()
    return f"{{{{{before} {body} {after}}}}}"


def _tag(inner: str) -> str:
    before, after = "-" * inner.startswith("-"), "-" * (inner.endswith("-") and len(inner) > 1)
    return f"{{%{before} {inner[len(before) : len(inner) - len(after)].strip()} {after}%}}"


def _name(segments: Any) -> str:
    names: Iterator[Any] = iter(segments)
    found: list[str] = []
    for each in names:
        if not isinstance(each, str | int):  # what is looked up by another value is only known then
            break
        found.append(str(each))
    return ".".join(found)
