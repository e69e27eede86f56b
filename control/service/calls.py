"""All calls of a service: what a request may do with them, and who may see them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixminus.media.descriptor import DescriptorError, MediaSessionDescriptor
from mixminus.media.platform import EngineStats

from .. import call_state as cs
from ..graph import errors
from ..graph.errors import GraphError
from ..graph.resources import CallIdentity, CallKind, CallRequest, call_resource
from ..store.base import AppRow, CallRow, StoreError
from .conference import LegReport
from .directory import Directory
from .guard import AddressGuard, AddressRefusedError
from .live_call import CallServices, LiveCall, StateChange
from .rows import changed_row, notification_bodies
from .switchboard import Device
from .tokens import Principal

log = logging.getLogger("mixminus.control.calls")

KEPT_CALLS = 100
"""How many calls that are over can still be reported on."""

END_S = 10.0
"""How long a call may take to end when the service stops."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """What happened in a call, and how fast."""

    app_id: str
    tenant_id: str
    state: str
    states: tuple[StateChange, ...]
    legs: dict[str, LegReport]
    engine: EngineStats
    lateness_us: NDArray[np.float32]


class CallBook:
    """Makes calls, finds them, and reports on them.

    Thread: the loop's.
    """

    def __init__(self, services: CallServices, directory: Directory, guard: AddressGuard) -> None:
        self._services, self._directory, self._guard = services, directory, guard
        self._living: dict[str, LiveCall] = {}
        self._over: OrderedDict[str, CallReport] = OrderedDict()
        self._forgetting: set[asyncio.Task[None]] = set()
        self._is_closing = False
        services.switchboard.on_device_gone = self._device_gone

    @property
    def living(self) -> int:
        """How many calls are not over."""
        return len(self._living)

    async def end_leftovers(self) -> None:
        """End the calls of an earlier run: their media ended with it."""
        store = self._services.store
        for row in await store.living_calls():
            call = cs.merge_remote(cs.Call(row.call_id), row.resource)
            for event in (cs.ServiceStopped(), cs.TornDown()):
                call, effects = call.apply(event)
                row = changed_row(row, call, None)
                await store.save_call(row, notification_bodies(row, effects))
        await store.forget_calls(KEPT_CALLS)

    async def create(self, request: CallRequest, app: AppRow) -> dict[str, Any]:
        """Make a call and begin to set it up; return its resource.

        Raises: GraphError.
        """
        self._check_carried(request)
        if request.source_app_id not in (None, app.app_id):
            raise errors.source_identity_invalid()
        descriptor = _parse_blob(request)
        callee = self._directory.user(request.target_user_ids[0])
        if callee is None:
            raise errors.user_not_found(request.target_user_ids[0])
        await self._check_addresses(request.callback_uri, descriptor.mp_uri)
        # After the last wait: other calls may have been made, or the end begun, during it.
        if self._is_closing or self.living >= self._services.settings.max_calls:
            raise GraphError(
                503, "serviceNotAvailable", "No more calls now.", {"Retry-After": "10"}
            )
        identity = CallIdentity(
            call_id=str(uuid.uuid4()),
            chain_id=str(uuid.uuid4()),
            participant_id=str(uuid.uuid4()),
            tenant_id=app.tenant_id,
            app_id=app.app_id,
            app_name=app.display_name,
        )
        resource = call_resource(request, identity, _shown_media_config(request, descriptor))
        row = CallRow(
            identity.call_id,
            app.app_id,
            app.tenant_id,
            request.callback_uri,
            resource["state"],
            False,
            resource,
        )
        live = LiveCall(self._services, row, callee, descriptor, self._call_over)
        self._living[row.call_id] = live
        try:
            await live.begin()
        except BaseException:
            del self._living[row.call_id]
            raise
        log.info("call %s: created", row.call_id)
        return resource

    def find(self, call_id: str, principal: Principal) -> LiveCall:
        """Return a living call of that application.

        Raises: GraphError 404, also for another application's call.
        """
        live = self._living.get(call_id)
        if live is None or not _may_see(principal, live.row.app_id, live.row.tenant_id):
            raise errors.call_not_found()
        return live

    def ringing_or_answered(self, call_id: object, device: Device) -> LiveCall | None:
        """Return a living call to the user of *device*."""
        live = self._living.get(call_id) if isinstance(call_id, str) else None
        return live if live is not None and live.callee.user_id == device.user_id else None

    async def report(self, call_id: str, principal: Principal) -> dict[str, Any]:
        """Return what happened in a call, also in one of the last that are over.

        Raises: GraphError 404.
        """
        live = self._living.get(call_id)
        report = self._over.get(call_id) if live is None else self._report(live)
        if report is None or not _may_see(principal, report.app_id, report.tenant_id):
            raise errors.call_not_found()
        counts = await self._services.store.notification_counts(call_id)
        return {
            "callId": call_id,
            "state": report.state,
            "states": [{"state": s.state, "atMs": s.at_ms} for s in report.states],
            "notifications": asdict(counts),
            "legs": {name: leg.leg for name, leg in report.legs.items()},
            "transports": {name: leg.transport for name, leg in report.legs.items()},
            "engine": asdict(report.engine),
            "latenessUs": [round(us, 1) for us in report.lateness_us.tolist()],
        }

    async def close(self) -> None:
        """End all calls, and wait until they are over. Again is no error."""
        self._is_closing = True
        living = list(self._living.values())
        await asyncio.gather(*(self._end(live) for live in living))
        await asyncio.gather(*self._forgetting, return_exceptions=True)

    async def _end(self, live: LiveCall) -> None:
        try:
            async with asyncio.timeout(END_S):
                await live.dispatch(cs.ServiceStopped())
                await live.ended.wait()
        except TimeoutError:
            log.warning("call %s: did not end within %s s", live.row.call_id, END_S)
        except StoreError:
            log.exception("call %s: its end could not be written", live.row.call_id)
        finally:
            await live.close()

    def _call_over(self, live: LiveCall) -> None:
        call_id = live.row.call_id
        self._over[call_id] = self._report(live)
        while len(self._over) > KEPT_CALLS:
            self._over.popitem(last=False)
        del self._living[call_id]
        result = live.call.result
        log.info(
            "call %s: over after %.1f s, %s",
            call_id,
            live.states[-1].at_ms / 1000,
            "" if result is None else f"{result.code}/{result.subcode}",
        )
        task = asyncio.create_task(self._forget(), name="forget calls")
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _forget(self) -> None:
        await self._services.store.forget_calls(KEPT_CALLS)

    def _device_gone(self, device: Device) -> None:
        for live in tuple(self._living.values()):
            live.device_gone(device)

    def _report(self, live: LiveCall) -> CallReport:
        platform = self._services.platform
        return CallReport(
            app_id=live.row.app_id,
            tenant_id=live.row.tenant_id,
            state=live.call.state.value,
            states=tuple(live.states),
            legs=live.conference.report(),
            engine=platform.stats(),
            lateness_us=platform.lateness_us(live.first_tick),
        )

    def _check_carried(self, request: CallRequest) -> None:
        """Refuse what is documented but not carried here. The first lines to change for more."""
        if request.kind is not CallKind.PEER_TO_PEER:
            raise errors.not_implemented(request.kind.value)
        if not request.is_app_hosted:
            raise errors.not_implemented("serviceHostedMediaConfig")

    async def _check_addresses(self, callback_uri: str, mp_uri: str) -> None:
        for name, uri in (("callbackUri", callback_uri), ("mpUri", mp_uri)):
            try:
                await self._guard.pin(uri)
            except AddressRefusedError as error:
                raise errors.invalid_argument(f"{name}: {error}.") from None


def _may_see(principal: Principal, app_id: str, tenant_id: str) -> bool:
    return (principal.app_id, principal.tenant_id) == (app_id, tenant_id)


def _parse_blob(request: CallRequest) -> MediaSessionDescriptor:
    try:
        return MediaSessionDescriptor.from_blob(request.blob or "")
    except DescriptorError as error:
        raise errors.invalid_argument(f"mediaConfig.blob: {error}.") from None


def _shown_media_config(request: CallRequest, descriptor: MediaSessionDescriptor) -> dict[str, Any]:
    """Echo the media configuration, without its secret."""
    if descriptor.link_secret is None:
        return request.media_config
    return {**request.media_config, "blob": descriptor.redacted()}
