"""The document of the sockets' frames, and whether a frame is as it says."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker

# By way of JSON, so that moments in examples are texts.
PROTOCOL: dict[str, Any] = json.loads(
    json.dumps(yaml.safe_load((Path(__file__).parents[2] / "docs/asyncapi.yaml").read_text()), default=str)
)


@cache
def _validator(message: str) -> Draft202012Validator:
    schema = {**PROTOCOL["components"]["messages"][message]["payload"], "components": PROTOCOL["components"]}
    return Draft202012Validator(schema, format_checker=FormatChecker())


def check(channel: str, frame: dict[str, Any]) -> None:
    """Assert that a frame of a channel (``notifications`` or ``chat``) is as the document says."""
    _validator(f"{channel}.{frame['type']}").validate(frame)


def named(operation: str) -> set[str]:
    """Return the types of an operation's frames."""
    return {reference["$ref"].rpartition("/")[2] for reference in PROTOCOL["operations"][operation]["messages"]}
