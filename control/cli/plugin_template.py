"""The files of a new plugin package, as ``mixminus plugin new`` writes them."""

from __future__ import annotations

from typing import Final

PYPROJECT: Final = """\
[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"

[project]
name = "mixminus-{name}"
version = "0.1.0"
description = "An audio plugin for mixminus"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["mixminus"]

# By this name the plugin is found: mixminus plugin run {name} in.wav out.wav
[project.entry-points."mixminus.plugins"]
{name} = "{module}:{plugin}"

[tool.setuptools.packages.find]
where = ["src"]

[tool.pytest.ini_options]
pythonpath = ["src"]
testpaths = ["tests"]
"""

PLUGIN: Final = '''\
"""{plugin}: what it does to a stream, in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from mixminus.media.pcm import AudioFrame, Pcm
from mixminus.media.plugins.contract import PluginContext


class {plugin}:
    """Make a stream softer, and tell when it was silent for a second."""

    class Config(BaseModel, extra="forbid"):
        """The settings: checked before a call starts; an error names the field."""

        reduction_db: float = Field(6.0, ge=0.0, le=60.0)

    # By how many samples the output is behind the input; `mixminus plugin check` measures it.
    latency_samples = 0

    def __init__(self, **settings: Any) -> None:
        # Cheap: it is also called just to check the settings. What takes time belongs in open.
        self.set(**settings)
        self.silent_frames = 0

    def set(self, **settings: Any) -> None:
        """Take settings, also while a call goes on."""
        self.factor = 10.0 ** (-self.Config(**settings).reduction_db / 20.0)

    def open(self, context: PluginContext) -> None:
        """Prepare for one stream: context says whose, and takes what there is to tell."""
        self.context = context

    def process(self, frame: AudioFrame) -> Pcm:
        """Return 320 samples, int16, 16 kHz, for those that came: 20 ms, 50 times a second.

        All plugins of a stream have 5 ms together. None means: the frame goes on as it came.
        """
        self.silent_frames = 0 if frame.any() else self.silent_frames + 1
        if self.silent_frames == 50:
            self.context.emit("silent", True)
        return np.clip(np.rint(frame * self.factor), -32768, 32767).astype(np.int16)

    def close(self) -> None:
        """Let go of files, models, threads."""
'''

TEST: Final = """\
import numpy as np
from {module} import {plugin}

from mixminus.media.plugins.conformance import assert_conforms
from mixminus.media.plugins.offline import OfflinePlugin
from mixminus.media.plugins.probes import silence, speech_like


def test_keeps_the_contract() -> None:
    assert_conforms({plugin})


def test_half_as_loud() -> None:
    speech = speech_like(1.0)
    with OfflinePlugin({plugin}, {{"reduction_db": 20.0 * np.log10(2.0)}}) as plugin:
        heard = plugin.hear(speech)
    assert np.abs(heard - speech / 2).max() <= 1


def test_tells_of_a_silent_second() -> None:
    with OfflinePlugin({plugin}) as plugin:
        plugin.hear(silence(60))
    assert plugin.events == [("silent", True)]
"""

README: Final = """\
# mixminus-{name}

An audio plugin for mixminus.

    pip install -e .
    python -m pytest                          # the test, with the conformance suite
    mixminus plugin check {name}
    mixminus plugin run {name} in.wav out.wav --set reduction_db=12

In a bot host: `mixminus serve --plugin {name}@speaker,reduction_db=12`.
"""


def files_of(name: str) -> dict[str, str]:
    """Return the text of each file of a package for plugin *name*, by its path inside it."""
    module = "mixminus_" + name.replace("-", "_")
    plugin = "".join(part.capitalize() for part in name.replace("-", "_").split("_"))
    texts = {
        "pyproject.toml": PYPROJECT,
        "README.md": README,
        f"src/{module}/__init__.py": PLUGIN,
        f"tests/test_{name.replace('-', '_')}.py": TEST,
    }
    return {
        path: text.format(name=name, module=module, plugin=plugin) for path, text in texts.items()
    }
