"""A call whose media link is lost while its host lives: joined again, where there is a way in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..client.calls import CallsClient
from ..client.errors import CLIENT_ERRORS
from ..graph.enums import CallState
from ..store.host_base import HostCallRow

if TYPE_CHECKING:
    from .call import HostedCall

log = logging.getLogger("mixminus.control.host")

JOINED_AGAIN: Final = "its media link was lost: it is joined again"
_OVER: Final = frozenset({CallState.TERMINATED, CallState.TERMINATING})


async def go_on_anew(
    call: HostedCall,
    client: CallsClient,
    can_join_again: Callable[[HostCallRow], bool],
    begin: Callable[[HostCallRow], None] | None,
) -> bool:
    """Let go of *call* and have *begin* join it again by its row; False when it is to be hung up.

    So it is when the row has no way in, the service does not answer or no longer has the call, or
    the store does not have all of the row. *begin* is None in a host that brings nothing back.
    """
    keep = call.keep
    if begin is None or keep is None or keep.is_lost or keep.is_offered:
        return False
    if keep.row.media != "app" or not can_join_again(keep.row):
        return False
    try:
        info = await client.get(call.id)
    except CLIENT_ERRORS as exc:
        log.warning("call %s: how it stands is not known: %s", call.id, exc)
        return False
    if info is None or info.state in _OVER or not await keep.written() or call.is_over:
        return False
    # The next one is written by another keep: this one has said all.
    keep.discard()
    log.info("call %s: %s", call.id, JOINED_AGAIN)
    call.let_go(JOINED_AGAIN, goes_on_here=True)
    begin(keep.row)
    return True
