"""Plugins in a replay: they run as they did, within each tick, one after the other."""

from __future__ import annotations

from typing import Any, Final

from mixminus.media.pcm import AudioFrame, Pcm
from mixminus.media.plugins.chain import Chain
from mixminus.media.plugins.meter import OwnTimeMeter
from mixminus.media.plugins.slot import Slot
from mixminus.media.plugins.worker import PluginWorker
from mixminus.media.replay import VirtualPlatform

from ..host.plugins import HostPlugins

HEARD: Final = ("speaker", "mix")


class ReplayChain(Chain):
    """A chain that works where it is called, and leaves alone what it changed in the capture.

    What a plugin made of a speaker or of the mix is what was captured: here it only hears it, and
    tells what it then told. What it makes of the bot's own speech is made again.
    """

    def __init__(self, *arguments: Any, runtime: object = None, **options: Any) -> None:
        super().__init__(*arguments, runtime=None, **options)

    def _step(self, slot: Slot, frame: AudioFrame, meter: OwnTimeMeter, used: list[Slot]) -> Pcm:
        pcm = super()._step(slot, frame, meter, used)
        return frame if self.stream in HEARD else pcm


class ReplayPlugins(HostPlugins):
    """The plugins that a bot adds to its calls in a replay. Thread: the loop's."""

    chain_type = ReplayChain

    def __init__(self, platform: VirtualPlatform) -> None:
        super().__init__(platform, worker=PluginWorker(platform, is_threaded=False))
        platform.between = self.worker.work
