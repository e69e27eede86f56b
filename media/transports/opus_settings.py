"""How a service's Opus encoders are set, as far as far ends agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LOWER_BIT_RATES: Final = (64_000, 48_000, 32_000, 24_000, 16_000, 12_000, 8_000, 6_000)
"""What a lower maxaveragebitrate is rounded down to: legs of one setting share an encoder, and a
bridge has room for so many settings (native/plan.h)."""


@dataclass(frozen=True, slots=True)
class OpusSettings:
    """What is sent to far ends that speak Opus.

    ``bit_rate`` is the most, in bits a second; a far end may ask for less. ``fec`` is for those
    that take it, and used where packets are lost. ``dtx`` is for all, else for those that ask.
    ``complexity`` is 0 to 10.
    """

    bit_rate: int = 32_000
    complexity: int = 5
    fec: bool = True
    dtx: bool = False


def agreed_bit_rate(wish: int | None, most: int) -> int:
    """Return what is sent to a far end that takes at most *wish* bits a second; None: any.

    Source: RFC 7587 section 6.1 (maxaveragebitrate).
    """
    if not wish or wish >= most:
        return most
    return next((rate for rate in LOWER_BIT_RATES if rate <= wish), LOWER_BIT_RATES[-1])
