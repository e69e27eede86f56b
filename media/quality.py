"""What is known of a leg's audio on its way: losses, delay, concealment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamQuality:
    """One leg's streams since it began: what came in, what it was made of, what the far end tells.

    Units:  packets and ticks counted; ``jitter_ms`` as RFC 3550 has it; ``delay_ms`` is what the
            quickest packet now waits until it is played, with the frame itself; ``far_...`` is what
            the far end reported of what it receives. None: not known (yet).
    """

    codec: str
    received_packets: int
    lost_packets: int
    discarded_packets: int
    jitter_ms: float | None
    round_trip_ms: float | None
    far_loss_ratio: float | None
    far_jitter_ms: float | None
    sent_packets: int
    sent_octets: int
    ticks: int
    voice_ticks: int
    fec_ticks: int
    concealed_ticks: int
    comfort_ticks: int
    silence_ticks: int
    skipped_ticks: int
    delay_ms: float | None
    target_ms: float | None
    drift_ppm: float | None
