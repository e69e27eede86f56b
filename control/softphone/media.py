"""A softphone's media in one call: what is played, what is recorded, what goes to the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np

from mixminus.media.dtmf import tone_pcm
from mixminus.media.pcm import SAMPLE_RATE_HZ
from mixminus.media.pipeline import FilePlayer
from mixminus.media.platform import MediaPlatform
from mixminus.media.recorder import RingRecorder, RingTrack
from mixminus.media.transports.aiortc_transport import AiortcTransport

from .options import SoftphoneOptions

CONNECT_TIMEOUT_S: Final = 10.0
APPLICATION_SLOTS: Final = 64
NETWORK_ID, APPLICATION_ID, TAP_ID, KEYPAD_ID = 1, 2, 3, 4

KEY_MS: Final = 120
"""Longer than any receiver asks for (ITU-T Q.24: 40 ms), as long as a thumb needs."""

GAP: Final = np.zeros(SAMPLE_RATE_HZ * KEY_MS // 1000, np.int16)


class CallMedia:
    """One call's bridge: the network's leg, the application's, the keypad's, and a tap.

    Thread: the platform's loop.
    """

    def __init__(self, platform: MediaPlatform, options: SoftphoneOptions) -> None:
        self._platform = platform
        self._options = options
        self._bridge = platform.create_bridge()
        self.network = self._bridge.add_leg(NETWORK_ID)
        self.application = self._bridge.add_leg(
            APPLICATION_ID,
            source_slots=APPLICATION_SLOTS,
            render_slots=APPLICATION_SLOTS,
            paced=True,
        )
        self._keypad = self._bridge.add_leg(KEYPAD_ID, source_slots=APPLICATION_SLOTS, paced=True)
        # Hears what the tick thread took from those who speak, when it took it: exact, whatever
        # was lapped or concealed. It says nothing itself.
        self._tap = self._bridge.add_leg(TAP_ID, render_slots=APPLICATION_SLOTS)
        self._bridge.set_sources(self.application, [self.network])
        self._is_silent = False
        self._keys: FilePlayer | None = None
        self._route()
        self.transport = AiortcTransport(platform, self.network, bind=options.bind)
        self._past: Counter[str] = Counter()
        self.first_tick = platform.stats().ticks
        self._player: FilePlayer | None = None
        self._recorder: RingRecorder | None = None

    def start(self) -> None:
        """Record, and play from the first sample.

        Raises: OSError when a recording cannot be made.
        """
        options = self._options
        self._recorder = RingRecorder(
            self._platform,
            (
                RingTrack(self.application.render, options.heard_file),
                RingTrack(self._tap.render, options.played_file),
            ),
        )
        if options.play is not None:
            self._player = FilePlayer(
                self._platform, self.application.source, options.play, loop=True
            )

    def set_silent(self, silent: bool) -> None:
        """Say nothing more, or speak again; what is played goes on meanwhile, unheard."""
        self._is_silent = silent
        self._route()

    async def press(self, keys: str) -> None:
        """Play the keys' tones as sound, unless silent; nothing else is said meanwhile.

        Raises: RuntimeError while others are being played.
        """
        if self._keys is not None:
            raise RuntimeError("keys are being pressed")
        pcm = np.concatenate([piece for key in keys for piece in (tone_pcm(key, KEY_MS), GAP)])
        self._keys = FilePlayer(self._platform, self._keypad.source, pcm)
        self._route()
        try:
            await self._keys.done.wait()
        finally:
            self._keys.close()
            self._keys = None
            self._route()

    async def renew(self, exchange: Callable[[str], Awaitable[str]]) -> None:
        """Carry the call over a new connection; *exchange* brings an offer's answer.

        Raises: what *exchange* does; SdpError, TimeoutError, ConnectionError. Then the connection
                that was there before is kept.
        """
        fresh = AiortcTransport(self._platform, self.network, bind=self._options.bind)
        try:
            await fresh.accept(await exchange(await fresh.offer()))
            await fresh.connected(CONNECT_TIMEOUT_S)
        except BaseException:
            await fresh.close()
            raise
        before, self.transport = self.transport, fresh
        await before.close()
        self._past.update(before.counters())

    def counters(self) -> dict[str, int]:
        """Return what all connections of this call carried."""
        return {key: count + self._past[key] for key, count in self.transport.counters().items()}

    async def close(self) -> None:
        """End all of it; the recordings are complete then. Again is no error."""
        if self._player is not None:
            self._player.close()
        try:
            if self._recorder is not None:
                self._recorder.close()
        finally:
            try:
                await self.transport.close()
            finally:
                self._bridge.close()

    def _route(self) -> None:
        speaker = self.application if self._keys is None else self._keypad
        said = [] if self._is_silent else [speaker]
        for listener in (self.network, self._tap):
            self._bridge.set_sources(listener, said)
