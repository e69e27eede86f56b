"""Finds plugins: by name (built in, or an installed package's), by module, or in a file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from .contract import PluginFactory
from .errors import PluginError, UnknownPluginError

GROUP: Final = "mixminus.plugins"
"""The entry-point group in which a package names its plugins."""
OWN: Final = "mixminus"


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin that can be used by its name."""

    name: str
    reference: str
    origin: str
    """The distribution that brings it."""


def resolve(reference: str) -> PluginFactory:
    """Return what makes the plugin that *reference* means: a name, ``module:attr``, ``file.py``.

    A file may say which of its plugins (``file.py:Gain``), and must if it has several.
    Raises: UnknownPluginError when there is none; PluginError when it fails, or is no plugin.
    Thread: any but the loop's if the import takes long.
    """
    module, _, attribute = reference.rpartition(":")
    path = Path(module if module.endswith(".py") else reference)
    if path.suffix == ".py":
        return _from_file(path, attribute if module.endswith(".py") else "")
    if module:
        return _from_module(reference, module, attribute)
    builtin = _builtins().get(reference)
    if builtin is not None:
        return _from_module(reference, *builtin.split(":"))
    found = [entry for entry in entry_points(group=GROUP) if entry.name == reference]
    origins = {_origin(entry) for entry in found}
    if len(origins) > 1:
        raise PluginError(f"plugin {reference}: found in {' and '.join(sorted(origins))}: use one")
    if not found:
        names = ", ".join(info.name for info in list_plugins()) or "none"
        raise UnknownPluginError(
            f"no plugin {reference!r}: expected module:attr, a .py file, or one of {names}"
        )
    return _load(reference, found[0].load)


def list_plugins() -> tuple[PluginInfo, ...]:
    """Return all plugins that have a name, built-in ones first. Loads none of them."""
    own = _builtins()
    infos = [PluginInfo(name, reference, OWN) for name, reference in sorted(own.items())]
    others = (entry for entry in entry_points(group=GROUP) if entry.name not in own)
    infos += sorted(
        (PluginInfo(entry.name, entry.value, _origin(entry)) for entry in others),
        key=lambda info: info.name,
    )
    return tuple(infos)


def is_listener(factory: PluginFactory) -> bool:
    """Say whether *factory* makes a tap, which only listens."""
    process = _process_of(factory)
    return bool(getattr(factory, "listens", False)) or inspect.iscoroutinefunction(process)


def _process_of(factory: PluginFactory) -> Any:
    return getattr(factory, "process", None) if inspect.isclass(factory) else factory


def _builtins() -> Mapping[str, str]:
    if importlib.util.find_spec(f"{__package__}.builtin") is None:
        return {}
    module = importlib.import_module(f"{__package__}.builtin")
    return cast("Mapping[str, str]", module.PLUGINS)


def _origin(entry: EntryPoint) -> str:
    return OWN if entry.dist is None else entry.dist.name


def _from_module(reference: str, module: str, attribute: str) -> PluginFactory:
    def load() -> Any:
        value: Any = importlib.import_module(module)
        for name in attribute.split("."):
            value = getattr(value, name)
        return value

    return _load(reference, load)


def _from_file(path: Path, attribute: str) -> PluginFactory:
    if not path.is_file():
        raise UnknownPluginError(f"no such plugin file: {path}")
    module = _load_file(path)
    own = [value for value in vars(module).values() if _is_own_plugin(value, module)]
    names = ", ".join(value.__name__ for value in own) or "none"
    if attribute:
        if not hasattr(module, attribute):
            raise UnknownPluginError(f"no {attribute!r} in {path}: found {names}")
        return check_factory(getattr(module, attribute), f"{path}:{attribute}")
    if len(own) != 1:
        raise PluginError(
            f"expected one plugin in {path}, found {names}; {path}:NAME says which is meant"
        )
    return cast(PluginFactory, own[0])


def _is_own_plugin(value: Any, module: ModuleType) -> bool:
    # An object of a class of the module's has its __module__ as well, but no name.
    name = getattr(value, "__name__", "_")
    if getattr(value, "__module__", None) != module.__name__ or name.startswith("_"):
        return False
    if inspect.isclass(value):
        return callable(getattr(value, "process", None))
    return inspect.isfunction(value) and next(iter(inspect.signature(value).parameters), "") in (
        "frame",
        "pcm",
    )


def _load_file(path: Path) -> ModuleType:
    path = path.resolve()
    # Two files of one name are two modules; the same file, unchanged, is one.
    mark = hashlib.sha256(bytes(path) + str(path.stat().st_mtime_ns).encode()).hexdigest()[:12]
    name = f"mixminus_plugin_{path.stem}_{mark}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"expected a Python file, got {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        # The boundary to someone else's code: whatever it raises is why there is no plugin.
        del sys.modules[name]
        raise PluginError(f"{path} failed: {type(exc).__name__}: {exc}") from exc
    return module


def _load(reference: str, load: Callable[[], Any]) -> PluginFactory:
    try:
        factory = load()
    except (ModuleNotFoundError, AttributeError) as exc:
        raise UnknownPluginError(f"plugin {reference}: {exc}") from exc
    except (Exception, SystemExit) as exc:
        # The boundary to someone else's code: whatever it raises is why there is no plugin.
        raise PluginError(f"plugin {reference} failed: {type(exc).__name__}: {exc}") from exc
    return check_factory(factory, reference)


def check_factory(factory: Any, reference: str = "") -> PluginFactory:
    """Return *factory* if it makes plugins.

    Raises: PluginError saying what was expected and what came.
    """
    if not callable(factory) or (
        inspect.isclass(factory) and not callable(getattr(factory, "process", None))
    ):
        raise PluginError(
            f"plugin {reference or factory!r}: expected a class with process(frame), or a function"
            f" of a frame, got {factory!r:.80}"
        )
    return cast(PluginFactory, factory)
