"""What a bot does with a whole call: answer, reject, redirect, transfer."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph.enums import RejectReason
from .base import CallRequests
from .bodies import AUDIO, Json, Media, Options, Target, as_invitee, invitations, participant_info
from .models import Identity


class HandlingVerbs(CallRequests):
    """Requests about a whole call. All raise GraphRequestError, GraphConnectionError, TokenError.

    The service only says that it took each on; what became of it, notifications tell.
    """

    async def answer(
        self,
        call_id: str,
        media: Media,
        *,
        callback_uri: str | None = None,
        modalities: Sequence[str] = AUDIO,
        participant_capacity: int | None = None,
        options: Options | None = None,
    ) -> None:
        """Take an incoming call, within 15 s of its notification (a policy recorder: 5 s)."""
        body: Json = {"acceptedModalities": list(modalities), "mediaConfig": media.to_json()}
        call_options = None if options is None else options.to_json("incomingCallOptions")
        further = {
            "callbackUri": callback_uri,
            "participantCapacity": participant_capacity,
            "callOptions": call_options,
        }
        body |= {name: value for name, value in further.items() if value is not None}
        await self._act(call_id, "answer", body)

    async def reject(
        self,
        call_id: str,
        reason: RejectReason | str = RejectReason.NONE,
        *,
        callback_uri: str | None = None,
    ) -> None:
        """Turn an incoming call away."""
        body: Json = {"reason": str(reason)}
        if callback_uri is not None:
            body["callbackUri"] = callback_uri
        await self._act(call_id, "reject", body)

    async def redirect(
        self,
        call_id: str,
        targets: Sequence[Target],
        *,
        timeout_s: int | None = None,
        callback_uri: str | None = None,
        mask_caller: bool = False,
        mask_callee: bool = False,
    ) -> None:
        """Send an incoming call on to up to 25 *targets*, who ring together for 15 to 90 s."""
        body: Json = {"targets": invitations(targets)}
        if timeout_s is not None:
            body["timeout"] = timeout_s
        if callback_uri is not None:
            body["callbackUri"] = callback_uri
        if mask_caller:
            body["maskCaller"] = True
        if mask_callee:
            body["maskCallee"] = True
        await self._act(call_id, "redirect", body)

    async def transfer(
        self, call_id: str, target: Target, *, transferee: Identity | None = None
    ) -> None:
        """Connect the other party with *target*, and leave.

        With ``Invitee.replaces_call_id`` it is a consultative transfer: into that call with the
        target. In a group call *transferee* says who is to be moved.
        """
        body: Json = {"transferTarget": as_invitee(target).to_json()}
        if transferee is not None:
            body["transferee"] = participant_info(transferee)
        await self._act(call_id, "transfer", body)
