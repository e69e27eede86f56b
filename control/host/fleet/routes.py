"""The fleet in a host's admin API: who lives, who has which call, and whether all agree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request

from ...store.base import StoreAwayError, StoreError
from ..replies import RequestRefusedError

if TYPE_CHECKING:
    from .fleet import HostFleet


def add_fleet(app: FastAPI, fleet: HostFleet, check: Callable[[Request], None]) -> None:
    """Add the routes of *fleet* to *app*; *check* refuses whoever has not the admin's token."""

    @app.get("/mixminus/v1/fleet")
    async def describe(request: Request) -> dict[str, Any]:
        """Tell the instances, and the living calls of all of them with their owners."""
        check(request)
        return await _asked(fleet.describe)

    @app.get("/debug/reconcile")
    async def reconcile(request: Request) -> dict[str, Any]:
        """Compare the calls at the service, in the store and in this process."""
        check(request)
        return await _asked(fleet.reconcile)


async def _asked(question: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    try:
        return await question()
    except StoreError as exc:
        raise store_refusal(exc) from None


def store_refusal(exc: StoreError) -> RequestRefusedError:
    """Return what is answered when the store does not."""
    wait_s = exc.retry_after_s if isinstance(exc, StoreAwayError) else None
    return RequestRefusedError(503, "serviceNotAvailable", str(exc), retry_after_s=wait_s)
