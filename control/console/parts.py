"""What the console's routes share."""

from __future__ import annotations

from dataclasses import dataclass

from .journals import Journals
from .live import Live
from .merge import Sources
from .oidc import OidcSignIn
from .sign_in import SignIns


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one console. ``oidc`` is None where the token alone signs in."""

    sources: Sources
    journals: Journals
    sign_ins: SignIns
    live: Live
    oidc: OidcSignIn | None
