"""Which plugin on which stream with which settings, and all that can be wrong with that."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from ..pcm import AudioFrame
from .contract import STREAMS, PluginContext, PluginFactory, Stream
from .errors import RAISED, PluginConfigError
from .registry import check_factory, is_listener, resolve
from .values import ValueMismatchError, check_keywords

Isolation: TypeAlias = Literal["none", "process"]

FIELDS: Final = ("plugin", "on", "config", "isolation", "name", "memory_mb")
MIN_MEMORY_MB: Final = 16
MAX_NAME: Final = 64
MAX_CHILD_CONFIG_BYTES: Final = 32_768
"""What goes to a child in one message, and on its command line."""


@dataclass(frozen=True, slots=True)
class PluginSpec:
    """One plugin of a chain, as settings or a bot choose it.

    ``plugin`` is a name, ``module:attr``, a ``.py`` file, or the class or function itself.
    ``isolation="process"`` runs it in a child process, which may hang, leak or crash; ``memory_mb``
    is what the child may take beyond what it has once the plugin is loaded.
    """

    plugin: str | PluginFactory
    on: Stream = "speaker"
    config: Mapping[str, Any] = field(default_factory=dict)
    isolation: Isolation = "none"
    name: str = ""
    memory_mb: int = 512

    def __post_init__(self) -> None:
        """Check what needs no look at the plugin.

        Raises: PluginConfigError with the field's name.
        """
        label = self.reference[:80]
        if not self.reference:
            raise PluginConfigError("", "plugin", "expected a name, module:attr or a .py file")
        if self.on not in STREAMS:
            raise PluginConfigError(
                label, "on", f"expected one of {', '.join(STREAMS)}, got {self.on!r}"
            )
        if self.isolation not in get_args(Isolation):
            raise PluginConfigError(
                label, "isolation", f"expected none or process, got {self.isolation!r}"
            )
        if not isinstance(self.config, Mapping) or not all(isinstance(k, str) for k in self.config):
            raise PluginConfigError(label, "config", f"expected an object, got {self.config!r:.80}")
        if not isinstance(self.name, str) or len(self.name) > MAX_NAME:
            raise PluginConfigError(
                label, "name", f"expected at most {MAX_NAME} characters, got {self.name!r:.80}"
            )
        if type(self.memory_mb) is not int or self.memory_mb < MIN_MEMORY_MB:
            raise PluginConfigError(
                label, "memory_mb", f"expected {MIN_MEMORY_MB} or more, got {self.memory_mb!r}"
            )
        if self.isolation == "process":
            if not isinstance(self.plugin, str):
                raise PluginConfigError(
                    label, "plugin", "expected a name, module:attr or a file for a child process"
                )
            _expect_json(label, self.config)
        if not self.name:
            object.__setattr__(self, "name", _short_name(self.reference))

    @property
    def reference(self) -> str:
        """What ``plugin`` is, as text."""
        if isinstance(self.plugin, str):
            return self.plugin
        return getattr(self.plugin, "__qualname__", repr(self.plugin))

    @classmethod
    def parse(cls, value: str | Mapping[str, Any] | PluginSpec) -> PluginSpec:
        """Read a spec from JSON, its parsed form, or ``gain@mix,gain_db=6,isolation=process``.

        Raises: PluginConfigError with the field's name.
        """
        if isinstance(value, PluginSpec):
            return value
        if isinstance(value, str):
            text = value.strip()
            return cls.parse(_json_object(text)) if text.startswith("{") else _parse_short(text)
        if not isinstance(value, Mapping):
            raise PluginConfigError("plugins", "", f"expected an object, got {value!r:.80}")
        label = str(value.get("plugin", "?"))[:80]
        for key in value:
            if key not in FIELDS:
                known = ", ".join(FIELDS)
                raise PluginConfigError(label, str(key), f"no such field: there are {known}")
        if not isinstance(value.get("plugin"), str):
            raise PluginConfigError(label, "plugin", "expected a name, module:attr or a .py file")
        return cls(**value)

    def factory(self) -> PluginFactory:
        """Return what makes the plugin. Raises: PluginError."""
        return resolve(self.plugin) if isinstance(self.plugin, str) else check_factory(self.plugin)

    def validate(self) -> None:
        """Find and check the plugin and its configuration; one instance is made and thrown away.

        An isolated one is looked at in a child: nothing of it is imported here.
        Raises: PluginError; PluginConfigError with the field's name.
        Thread: any but the loop's: imports take their time.
        """
        if self.isolation == "process":
            from .isolated.check import check_in_child

            check_in_child(self)
        else:
            self.make(self.name)

    def make(self, name: str) -> Made:
        """Make the plugin here, called *name*. Raises: PluginError."""
        return Made(self.factory(), self.config, name=name)


class Made:
    """A plugin that was made: its optional methods are here whether it has them or not."""

    def __init__(self, factory: PluginFactory, config: Mapping[str, Any], *, name: str) -> None:
        self.name = name
        self._factory = factory
        self._config = checked_config(factory, config, name=name)
        self.is_listener = is_listener(factory)
        self._instance: Any = None
        self.process: Callable[[AudioFrame], Any]
        if inspect.isclass(factory):
            try:
                self._instance = factory(**self._config)
            except RAISED as exc:
                # The boundary to someone else's code: why its values do not go together.
                raise PluginConfigError(name, "config", _said(exc)) from exc
            self.process = self._instance.process
            self.is_listener = self.is_listener or bool(getattr(self._instance, "listens", False))
        else:
            self.process = partial(factory, **self._config) if self._config else factory

    @property
    def latency_samples(self) -> int:
        """By how much the output is behind, as the plugin says."""
        return int(getattr(self._instance or self._factory, "latency_samples", 0))

    def open(self, context: PluginContext) -> None:
        """Prepare, if the plugin wants to."""
        if self._instance is not None and hasattr(self._instance, "open"):
            self._instance.open(context)

    def close(self) -> None:
        """Let go, if the plugin has anything."""
        if self._instance is not None and hasattr(self._instance, "close"):
            self._instance.close()

    def check_change(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return *parameters* as the plugin takes them, with nothing changed yet.

        Raises: PluginConfigError with the field's name.
        """
        return checked_config(
            self._factory, parameters, name=self.name, known=self._config, is_change=True
        )

    def set(self, parameters: Mapping[str, Any]) -> None:
        """Change what :meth:`check_change` returned. Between two frames."""
        self._config = {**self._config, **parameters}
        if self._instance is None:
            self.process = partial(cast("Callable[..., Any]", self._factory), **self._config)
        elif hasattr(self._instance, "set"):
            self._instance.set(**parameters)
        else:
            for key, value in parameters.items():
                setattr(self._instance, key, value)


def make_plugin(factory: PluginFactory, config: Mapping[str, Any], *, name: str = "") -> Made:
    """Make one plugin of *factory* with *config*, checked.

    Raises: PluginConfigError with the field's name.
    """
    return Made(factory, config, name=name or getattr(factory, "__qualname__", "plugin"))


def checked_config(
    factory: PluginFactory,
    config: Mapping[str, Any],
    *,
    name: str,
    known: Mapping[str, Any] | None = None,
    is_change: bool = False,
) -> dict[str, Any]:
    """Return *config* as keywords of *factory*; a change is checked together with all *known*.

    Raises: PluginConfigError with the field's name.
    """
    model = getattr(factory, "Config", None)
    if model is not None and hasattr(model, "model_validate"):
        return _checked_by_model(model, config, name, known or {}, is_change)
    try:
        skip = 0 if inspect.isclass(factory) else 1
        return check_keywords(factory, config, skip=skip, is_change=is_change)
    except ValueMismatchError as error:
        raise PluginConfigError(name, f"config.{error.path}", str(error)) from None


def _checked_by_model(
    model: Any, config: Mapping[str, Any], name: str, known: Mapping[str, Any], is_change: bool
) -> dict[str, Any]:
    for key in config:
        # A model that takes anything would hide a slip of the pen.
        if key not in model.model_fields and model.model_config.get("extra") != "allow":
            there = ", ".join(model.model_fields)
            raise PluginConfigError(name, f"config.{key}", f"no such setting: there are {there}")
    try:
        made = model.model_validate({**known, **config})
    except ValueError as error:
        field_name, message = "config", str(error)
        if hasattr(error, "errors"):
            first = error.errors(include_input=True, include_url=False)[0]
            field_name = ".".join(["config", *map(str, first["loc"])])
            message = f"{first['msg']}, got {first['input']!r:.80}"
        raise PluginConfigError(name, field_name, message) from None
    names = config if is_change else model.model_fields
    return {key: getattr(made, key) for key in names}


def _parse_short(text: str) -> PluginSpec:
    head, *settings = text.split(",")
    plugin, at, on = head.rpartition("@")
    values: dict[str, Any] = {"plugin": plugin if at else head}
    if at:
        values["on"] = on
    config: dict[str, Any] = {}
    for setting in settings:
        key, equals, raw = setting.partition("=")
        if not equals or not key.strip():
            raise PluginConfigError(head, setting, "expected NAME=VALUE")
        value = _plain_value(raw)
        if key in ("isolation", "name", "memory_mb"):
            values[key] = value
        else:
            config[key] = value
    return PluginSpec.parse({**values, "config": config})


def _plain_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise PluginConfigError("plugins", "", f"expected JSON: {error}") from None
    return cast("Mapping[str, Any]", value)


def _expect_json(label: str, config: Mapping[str, Any]) -> None:
    try:
        size_bytes = len(json.dumps(dict(config), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise PluginConfigError(
            label, "config", f"expected JSON for a child process: {error}"
        ) from None
    if size_bytes > MAX_CHILD_CONFIG_BYTES:
        raise PluginConfigError(
            label,
            "config",
            f"expected at most {MAX_CHILD_CONFIG_BYTES} bytes for a child process,"
            f" got {size_bytes}",
        )


def _short_name(reference: str) -> str:
    """Return what a plugin is called that was given no name: its class, file or own name."""
    tail = reference.rpartition(":")[2].rpartition("/")[2].removesuffix(".py")
    return tail.rpartition(".")[2][:MAX_NAME] or "plugin"


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
