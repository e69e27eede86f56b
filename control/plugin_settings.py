"""Plugins as settings: read, checked, and looked at before the first call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from pydantic import PlainValidator, WithJsonSchema

from mixminus.media.plugins.config import MAX_NAME, MIN_MEMORY_MB, PluginSpec
from mixminus.media.plugins.contract import STREAMS, Stream
from mixminus.media.plugins.errors import PluginConfigError


def _parse(value: Any) -> tuple[PluginSpec, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"expected a list of plugins, got {value!r:.80}")  # noqa: TRY004 - pydantic
    return tuple(PluginSpec.parse(item) for item in value)


SCHEMA: Final = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "string", "description": "The short form: gain@mix,gain_db=6."},
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["plugin"],
                "properties": {
                    "plugin": {"type": "string", "description": "A name, module:attr, or a file."},
                    "on": {"enum": list(STREAMS)},
                    "config": {"type": "object", "description": "The plugin's own settings."},
                    "isolation": {"enum": ["none", "process"]},
                    "name": {"type": "string", "maxLength": MAX_NAME},
                    "memory_mb": {"type": "integer", "minimum": MIN_MEMORY_MB},
                },
            },
        ]
    },
}
"""What editors are told of the setting."""

if TYPE_CHECKING:
    PluginSpecs: TypeAlias = tuple[PluginSpec, ...]
else:
    # pydantic would look into PluginSpec, and into numpy's types from there.
    PluginSpecs = Annotated[tuple[Any, ...], PlainValidator(_parse), WithJsonSchema(SCHEMA)]
"""A setting that is a list of plugins, each as JSON object or in the short form."""


def expect_streams(specs: Iterable[PluginSpec], streams: Sequence[Stream]) -> None:
    """Return if each plugin sits where there is such a stream.

    Raises: PluginConfigError naming the field ``on``.
    """
    for spec in specs:
        if spec.on not in streams:
            expected = " or ".join(streams)
            raise PluginConfigError(spec.name, "on", f"expected {expected} here, got {spec.on!r}")


async def validate_all(specs: Iterable[PluginSpec]) -> None:
    """Find and check each plugin and its configuration, without holding up the loop.

    Raises: PluginError; PluginConfigError with the field's name.
    """
    for spec in specs:
        await asyncio.to_thread(spec.validate)
