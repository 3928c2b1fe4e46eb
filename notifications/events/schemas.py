"""Messages in the wire format of a schema registry: their bytes become JSON, checked against the writer's schema.

Magic byte 0, the schema's id in four bytes (big-endian), then JSON, or Avro in its binary form.
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import orjson
from django.conf import settings
from django.db import OperationalError
from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft7Validator, validator_for
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT7

from notification_service.lib.errors import InvalidInput

try:  # The extra "avro".
    import fastavro
except ImportError:  # pragma: no cover - one of both is installed
    fastavro = None  # type: ignore[assignment]

MAGIC: Final = b"\x00"
_HEADER: Final = 5
_TIMEOUT: Final = 5.0
_UNKNOWN_FOR: Final = 10.0
_MOST_REFERENCES: Final = 100
_ACCEPT: Final = "application/vnd.schemaregistry.v1+json, application/json"

#: Turns what follows the header into JSON. Raises ``InvalidInput``.
Reader = Callable[[bytes], bytes]
_readers: dict[tuple[str, int], Reader] = {}
_unknown: dict[tuple[str, int], float] = {}


class RegistryAway(OperationalError):
    """The registry does not answer. Like the database's absence it is no message's fault: the consumer waits."""


def is_wrapped(value: bytes | None) -> bool:
    """Whether a message is in the wire format: no JSON begins so."""
    return value is not None and value[:1] == MAGIC


def unwrapped(value: bytes) -> bytes:
    """Return the JSON of a message in the wire format. Raises ``InvalidInput`` and ``RegistryAway``."""
    if len(value) < _HEADER:
        raise InvalidInput("The message ends within the header of the wire format.", code="bad_schema")
    schema_id = int.from_bytes(value[1:_HEADER], "big")
    if not settings.SCHEMA_REGISTRY_URL:
        message = f"The message is in the wire format of a schema registry (schema {schema_id}): "
        raise InvalidInput(message + "set SCHEMA_REGISTRY_URL to have it read.", code="no_schema_registry")
    return _reader(schema_id)(value[_HEADER:])


def _reader(schema_id: int) -> Reader:
    """Return what reads the messages of a schema. Schemas never change, so each is asked for once."""
    place = (settings.SCHEMA_REGISTRY_URL, schema_id)
    if found := _readers.get(place):
        return found
    if _unknown.get(place, 0.0) > time.monotonic():
        raise _no_schema(schema_id)
    answer = _get(f"/schemas/ids/{schema_id}")
    if answer is None:
        _unknown[place] = time.monotonic() + _UNKNOWN_FOR
        raise _no_schema(schema_id)
    _readers[place] = _made(schema_id, answer)
    return _readers[place]


def _made(schema_id: int, answer: Mapping[str, Any]) -> Reader:
    kind = answer.get("schemaType") or "AVRO"
    try:
        if kind == "JSON":
            return _json_reader(schema_id, answer)
        if kind == "AVRO" and fastavro:
            return _avro_reader(schema_id, answer)
    except (SchemaError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"Schema {schema_id} can not be used ({type(error).__name__}).", code="bad_schema") from None
    hint = "install fastavro (the extra 'avro')" if kind == "AVRO" else "JSON and AVRO are read"
    raise InvalidInput(f"Schema {schema_id} is of the type {kind}: {hint}.", code="schema_type")


def _json_reader(schema_id: int, answer: Mapping[str, Any]) -> Reader:
    schema = orjson.loads(answer["schema"])
    known: Registry[Any] = Registry()  # what it does not hold is not fetched from anywhere
    for name, text in _references(answer).items():
        known = known.with_resource(name, Resource.from_contents(orjson.loads(text), default_specification=DRAFT7))
    validator_class = validator_for(schema, default=Draft7Validator)
    validator_class.check_schema(schema)
    validator: Validator = validator_class(schema, registry=known)

    def read(body: bytes) -> bytes:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise _misfit(schema_id, f"no JSON after the header, at character {error.pos}") from None
        try:
            wrong = next(validator.iter_errors(value), None)
        except Unresolvable:
            raise _misfit(schema_id, "it refers to a schema that the registry did not name") from None
        if wrong:
            # Where and which rule: the value itself may be a secret.
            raise _misfit(schema_id, f"{wrong.json_path} breaks {wrong.validator!r}")
        return body

    return read


def _avro_reader(schema_id: int, answer: Mapping[str, Any]) -> Reader:
    named: dict[str, Any] = {}
    for text in _references(answer).values():
        fastavro.parse_schema(orjson.loads(text), named_schemas=named)
    schema = fastavro.parse_schema(orjson.loads(answer["schema"]), named_schemas=named)

    def read(body: bytes) -> bytes:
        stream = io.BytesIO(body)
        try:
            value = fastavro.schemaless_reader(stream, schema, None)
        except Exception as error:  # its own errors have no common class
            raise _misfit(schema_id, f"the Avro can not be read, {type(error).__name__}") from None
        if stream.tell() != len(body):
            raise _misfit(schema_id, f"{len(body) - stream.tell()} bytes are left over")
        try:
            return orjson.dumps(value, default=_plain)
        except TypeError as error:
            raise _misfit(schema_id, str(error)) from None

    return read


def _references(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the schemas to which one refers, and those to which they do, by name; what others need comes first."""
    found: dict[str, str] = {}

    def collect(of: Mapping[str, Any]) -> None:
        for each in of.get("references") or ():
            if each["name"] in found:
                continue
            if len(found) >= _MOST_REFERENCES:
                raise ValueError("too many references")
            other = _get(f"/subjects/{quote(each['subject'], safe='')}/versions/{int(each['version'])}")
            if other is None:
                raise KeyError(each["name"])
            collect(other)
            found[each["name"]] = other["schema"]

    collect(answer)
    return found


def _get(path: str) -> dict[str, Any] | None:
    """Ask the registry; return its answer, or None for 404. Raises ``RegistryAway``."""
    headers = {"Accept": _ACCEPT}
    if settings.SCHEMA_REGISTRY_USERNAME:
        login = f"{settings.SCHEMA_REGISTRY_USERNAME}:{settings.SCHEMA_REGISTRY_PASSWORD}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    request = Request(settings.SCHEMA_REGISTRY_URL.rstrip("/") + path, headers=headers)  # noqa: S310 - the operator's
    try:
        with urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            found: dict[str, Any] = orjson.loads(answer.read())
            return found
    except HTTPError as error:
        if error.code == 404:
            return None
        raise RegistryAway(f"the schema registry answered {error.code}") from None
    except (URLError, OSError, orjson.JSONDecodeError) as error:
        raise RegistryAway(f"the schema registry does not answer: {type(error).__name__}") from None


def _plain(value: Any) -> str:
    """What Avro knows and JSON does not: bytes as base64, the rest (decimals, durations) as text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes | bytearray) else str(value)


def _no_schema(schema_id: int) -> InvalidInput:
    return InvalidInput(f"The registry has no schema {schema_id}.", code="unknown_schema")


def _misfit(schema_id: int, why: str) -> InvalidInput:
    return InvalidInput(f"The message does not fit schema {schema_id}: {why}.", code="bad_schema")
