"""Plugins as settings: read, checked, and looked at before the first call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import PlainValidator

from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.contract import Stream
from mixminus.media.plugins.errors import PluginConfigError


def _parse(value: Any) -> tuple[PluginSpec, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"expected a list of plugins, got {value!r:.80}")  # noqa: TRY004 - pydantic
    return tuple(PluginSpec.parse(item) for item in value)


if TYPE_CHECKING:
    PluginSpecs: TypeAlias = tuple[PluginSpec, ...]
else:
    # pydantic would look into PluginSpec, and into numpy's types from there.
    PluginSpecs = Annotated[tuple[Any, ...], PlainValidator(_parse)]
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
