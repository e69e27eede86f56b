"""``/healthz`` and ``/readyz``: whether media are alive, and whether new calls may come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from mixminus.media.load import Health
from mixminus.media.vitals import Heartbeat

from .operation import Operation

CHECK_S: Final = 1.0
"""How long a check may take: whoever probes waits about as long."""
DESCRIBE_S: Final = 0.5
"""How long the rest of /healthz may take: a probe of one second must see that media are alive."""

Describe = Callable[[], Awaitable[Mapping[str, Any]]]
Check = Callable[[], Awaitable[bool]]


class HealthPages:
    """The two pages of one role of a process.

    *describe* gives what ``/healthz`` says beside the heartbeat; *checks* by the reason that
    ``/readyz`` gives when one says no, or takes longer than a second. The role sets
    ``is_started`` when it serves, and takes it back when it stops.
    Thread: the loop's.
    """

    def __init__(
        self,
        role: str,
        operation: Operation,
        *,
        describe: Describe,
        checks: Mapping[str, Check] | None = None,
    ) -> None:
        self._role, self._operation = role, operation
        self._describe, self._checks = describe, dict(checks or {})
        self.is_started = False

    async def health(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of ``/healthz``: 503 when no media tick.

        A loop that answers proves nothing about media; frames that were mixed do.
        """
        beat = self._operation.platform.heartbeat()
        is_alive = beat.ticks_advance
        body = {
            "status": "ok" if is_alive else "failing",
            "role": self._role,
            "heartbeat": heartbeat_body(beat),
            "health": self._operation.admission.health.value,
            **await self._described(),
        }
        return 200 if is_alive else 503, body

    async def _described(self) -> Mapping[str, Any]:
        """Return what the role says of itself, if it does at once: nobody must be ended for it."""
        try:
            async with asyncio.timeout(DESCRIBE_S):
                return await self._describe()
        except TimeoutError:
            return {"leftOut": f"the rest was not known within {DESCRIBE_S:g} s"}

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of ``/readyz``: 503 with the reasons why no new call may come."""
        admission = self._operation.admission
        reasons = []
        if not self.is_started:
            reasons.append("notStarted")
        if admission.draining:
            reasons.append("draining")
        if admission.health is Health.OVERLOADED:
            reasons.append("overloaded")
        if not self._operation.platform.heartbeat().ticks_advance:
            reasons.append("engine")
        for reason, check in self._checks.items():
            if not await _passes(check):
                reasons.append(reason)
        body = {
            "status": "notReady" if reasons else "ready",
            "role": self._role,
            "reasons": reasons,
            "health": admission.health.value,
            "load": {"ratio": round(admission.load.ratio, 3), "of": admission.load.of},
            "calls": self._operation.busy,
        }
        return 503 if reasons else 200, body

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["mixminus"])

        @router.get("/healthz", responses={503: {"description": "No media tick."}})
        async def healthz() -> Response:
            """Say whether media are alive, and how this role is."""
            status, body = await self.health()
            return JSONResponse(body, status)

        @router.get("/readyz", responses={503: {"description": "No new calls now."}})
        async def readyz() -> Response:
            """Say whether new calls may come, and why not."""
            status, body = await self.readiness()
            return JSONResponse(body, status)

        return router


def heartbeat_body(beat: Heartbeat) -> dict[str, Any]:
    """Return *beat* as JSON types."""
    return {
        "seconds": round(beat.seconds, 3),
        "ticks": beat.ticks,
        "framesMixed": beat.frames_mixed,
        "framesReceived": beat.frames_received,
        "framesSent": beat.frames_sent,
        "legs": beat.legs,
        "ticksAdvance": beat.ticks_advance,
    }


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_S):
            return await check()
    except TimeoutError:
        return False
