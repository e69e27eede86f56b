"""Where the console's things are, as paths. The audio of recordings has a ticket in its address."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from .models import CallDetail, RecordingView
from .sign_in import SignIns

PREFIX: Final = "/console"
FILES: Final = "/console/static/"
API: Final = "/console/api/"
LIVE: Final = "/console/api/live"
SESSION: Final = "/console/api/session"
OIDC_START: Final = "/console/api/oidc/start"
OIDC_BACK: Final = "/console/api/oidc/callback"


def is_for_console(path: str) -> bool:
    """Say whether a path is the console's."""
    return path == PREFIX or path.startswith(PREFIX + "/")


def with_addresses(recording: RecordingView, sign_ins: SignIns) -> RecordingView:
    """Return *recording* with the addresses of its files, for audio elements."""
    files = []
    for file in recording.files:
        if file.playable:
            path = f"{API}recordings/{recording.id}/{file.name}/audio"
            address = f"{quote(path)}?ticket={sign_ins.ticket(path)}"
            files.append(file.model_copy(update={"audio_url": address}))
        else:
            files.append(file)
    return recording.model_copy(update={"files": tuple(files)})


def detail_with_addresses(detail: CallDetail, sign_ins: SignIns) -> CallDetail:
    """Return *detail* with the addresses of its recordings' files."""
    if not detail.recordings:
        return detail
    recordings = tuple(with_addresses(each, sign_ins) for each in detail.recordings)
    return detail.model_copy(update={"recordings": recordings})
