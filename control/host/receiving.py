"""What a host does with a notification: whose call it is about, or that it is about nobody's."""

from __future__ import annotations

import logging
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..client.models import CallInfo
from ..graph.notifications import Notification, normal_id
from ..journal import Journal
from ..journal_titles import notification_title
from ..operation.admission import Admission
from ..store.host_base import HostCallRow
from .call import HostedCall
from .call_facts import CallReport, Delivery, incoming_call, peer_of
from .durable import CallKeep
from .keeping import joining_of
from .letters import sequence_of
from .making import CallMaking
from .parts import Peer

log = logging.getLogger("mixminus.control.host")

MAX_EARLY: Final = 256


class CallReceiving(CallMaking):
    """How a host's calls are told of what became of them, and new ones found. Thread: the loop's.

    A notification that the inbox has is always taken, applied or dropped in the end; of the others
    those that are not taken are sent again.
    """

    on_found: Callable[[HostCallRow, CallInfo], None] | None
    """Called when the service tells of a call of ours that is not here: it may be rejoined."""
    on_released: Callable[[Sequence[Notification]], None]
    """Called with what was told of a call that is not here, and may be later."""
    _journal: Journal
    _admission: Admission | None
    _calls: dict[str, HostedCall]
    _ended: dict[str, CallReport]

    @abstractmethod
    def get(self, call_id: str) -> HostedCall | None:
        """Return the living call of that id."""

    def deliver(self, notification: Notification, tenant_id: str) -> Delivery:
        """Hand *notification*, by a token of *tenant_id*, to its call."""
        delivery = self._hand(notification, tenant_id)
        if delivery is not Delivery.FOREIGN:
            self._note(notification, delivery)
        return delivery

    def judge(self, notification: Notification, tenant_id: str) -> Delivery:
        """Say whether *notification* would be taken now, and do nothing about it."""
        call = self._calls.get(normal_id(notification.call_id))
        if call is not None:
            if call.tenant_id.casefold() != tenant_id.casefold():
                return Delivery.FOREIGN
            return Delivery.TAKEN if call.has_room else Delivery.FULL
        if normal_id(notification.call_id) in self._ended:
            return Delivery.TAKEN
        if (resource := incoming_call(notification)) is not None:
            return self._judge_incoming(resource, tenant_id)
        return Delivery.TAKEN

    def _note(self, notification: Notification, delivery: Delivery) -> None:
        """Write down what was told, under the id by which its call is known here."""
        call, path = self.get(notification.call_id), notification.resource_path
        change, data = str(notification.change_type), notification.resource_data
        self._journal.record(
            "notification",
            notification.call_id if call is None else call.id,
            f"{notification_title(change, path, data)}: {delivery.name.lower()}",
            {"changeType": change, "resource": "/".join(path), "resourceData": data},
            direction="in",
        )

    def _hand(self, notification: Notification, tenant_id: str) -> Delivery:
        key = normal_id(notification.call_id)
        call = self._calls.get(key)
        if call is not None:
            if call.tenant_id.casefold() != tenant_id.casefold():
                return Delivery.FOREIGN
            call.note_notification(notification)
            return Delivery.TAKEN if call.deliver(notification) else Delivery.FULL
        if key in self._ended:
            self._drop(notification)
            return Delivery.TAKEN
        if (resource := incoming_call(notification)) is not None:
            return self._take_incoming(resource, tenant_id, notification)
        if self._creating:
            # The first notifications may overtake the answer to the creation.
            if len(self._early) >= MAX_EARLY and sequence_of(notification) is None:
                return Delivery.FULL
            self._early.append((notification, tenant_id))
            return Delivery.TAKEN
        if self._is_closing:
            return Delivery.UNKNOWN
        if self._strangers.is_nobody(key, tenant_id):
            self._drop(notification)
            return Delivery.UNKNOWN
        return Delivery.TAKEN if self._strangers.take(notification, tenant_id) else Delivery.FULL

    def _judge_incoming(self, resource: Mapping[str, Any], tenant_id: str) -> Delivery:
        told = resource.get("tenantId")
        if isinstance(told, str) and told.casefold() != tenant_id.casefold():
            return Delivery.FOREIGN
        if self._is_closing:
            return Delivery.UNKNOWN
        if self._admission is not None and self._admission.refusal():
            return Delivery.BUSY
        return Delivery.TAKEN

    def _take_incoming(
        self, resource: Mapping[str, Any], tenant_id: str, notification: Notification
    ) -> Delivery:
        delivery = self._judge_incoming(resource, tenant_id)
        if delivery is not Delivery.TAKEN:
            return delivery
        caller = CallInfo.read(resource).source
        peer = Peer(None) if caller is None else Peer(caller.id, caller.display_name)
        keep = self._keep_found("incoming", resource, tenant_id, peer)
        if keep is not None:
            keep.note(sequence_of(notification))
        self._add(resource, peer, tenant_id, created_at_s=time.monotonic(), keep=keep)
        return Delivery.TAKEN

    def _keep_found(
        self, kind: str, resource: Mapping[str, Any], tenant_id: str, peer: Peer
    ) -> CallKeep | None:
        """Return the keep of a call that others made."""
        if self.keeping is None:
            return None
        return self.keeping.new(
            call_id=str(resource["id"]),
            lineage=str(uuid.uuid4()),
            media="service",
            tenant_id=tenant_id,
            state=str(resource.get("state", "")),
            resource=resource,
            peer=peer,
            joining=joining_of(kind, {}),
        )

    async def _ask_about(self, call_id: str, tenant_id: str) -> CallInfo | None:
        return await self._client_of(tenant_id).get(call_id)

    async def _adopt(
        self,
        info: CallInfo,
        tenant_id: str,
        lineage: str | None,
        waiting: Callable[[], Sequence[Notification]],
    ) -> None:
        """Follow a call that this host did not make, and hand it what was told of it meanwhile.

        Audio that goes to another process, or went to one that is no more, cannot come here: such
        a call is followed, and neither kept alive nor ended by this host. A call that is in the
        store is rejoined, or another host's, or one that its maker has given up.
        """
        row = None
        if self.keeping is not None:
            row = await self.keeping.find(info, tenant_id, lineage)
        # Other word of it may have come first: then it stands here by now.
        if row is not None and self.get(info.id) is None:
            if await self._meet_again(row, info, tenant_id):
                self.on_released(waiting())
            else:
                for notification in waiting():
                    self._drop(notification)
            return
        if self.get(info.id) is None:
            log.info("call %s: found at the service", info.id)
            others = [target for target in info.targets if target.kind != "application"]
            peer = peer_of(others) if others else Peer(None, "a meeting" if info.meeting else None)
            is_owned = not info.is_app_hosted
            keep = self._keep_found("adopted", info.raw, tenant_id, peer) if is_owned else None
            self._add(
                info.raw,
                peer,
                tenant_id,
                created_at_s=time.monotonic(),
                is_owned=is_owned,
                keep=keep,
            )
        for notification in waiting():
            self._hand(notification, tenant_id)

    async def _meet_again(self, row: HostCallRow, info: CallInfo, tenant_id: str) -> bool:
        """Say whether the call of *row*, which is not here, may be here soon."""
        assert self.keeping is not None
        if row.call_id is not None and normal_id(row.call_id) != normal_id(info.id):
            log.info("call %s: joined again since, as %s", info.id, row.call_id)
        elif row.owner not in (None, self.keeping.instance):
            log.info("call %s: told here, and %s has it", info.id, row.owner)
        elif row.is_over:
            # Its creation was never answered: the bot was told that there is no such call.
            log.warning("call %s: nobody wants it: hung up", info.id)
            await self._client_of(tenant_id).delete(info.id)
        else:
            if self.on_found is not None:
                self.on_found(row, info)
            return True
        return False

    def _let_wait(self, notifications: Sequence[Notification]) -> None:
        self.on_released(notifications)

    def _drop(self, notification: Notification) -> None:
        """Have done with a notification that is about no call of this host."""
        sequence = sequence_of(notification)
        if sequence is not None and self.keeping is not None:
            self.keeping.drop(sequence)

    def _deliver_early(self) -> None:
        early = tuple(self._early)
        self._early.clear()
        for notification, tenant_id in early:
            self._hand(notification, tenant_id)
