"""Answer, reject, redirect, transfer: their bodies.

Source: Microsoft Graph, call: answer, call: reject, call: redirect, call: transfer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .enums import CallDisposition, RejectReason, RoutingPolicy
from .fields import INT32_MAX, Fields
from .requests_common import (
    CallOptions,
    MediaConfig,
    Target,
    read_call_options,
    read_distinct,
    read_media_config,
    read_modalities,
    read_target,
)

MAX_REDIRECT_TARGETS: Final = 25
REDIRECT_S: Final = (15, 90)
"""The documented range of a redirect's timeout, and its defaults for one target and for more."""
REDIRECT_ONE_S: Final = 55
REDIRECT_MANY_S: Final = 60


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """How an incoming call is answered."""

    callback_uri: str | None
    modalities: tuple[str, ...]
    media: MediaConfig
    participant_capacity: int | None
    options: CallOptions


@dataclass(frozen=True, slots=True)
class RejectRequest:
    """Why an incoming call is rejected: ``none``, ``busy`` or ``forbidden``."""

    reason: str
    callback_uri: str | None


@dataclass(frozen=True, slots=True)
class RedirectRequest:
    """Where an incoming call is to go, and how long it rings there."""

    targets: tuple[Target, ...]
    timeout_s: int
    callback_uri: str | None
    mask_callee: bool
    mask_caller: bool


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """Where a call is transferred to; in a group call, who is."""

    target: Target
    transferee: Target | None


def parse_answer(body: object) -> AnswerRequest:
    """Read the body of answer."""
    fields = Fields.of_body(body)
    return AnswerRequest(
        callback_uri=fields.https_uri("callbackUri"),
        modalities=read_modalities(fields, "acceptedModalities"),
        media=read_media_config(fields.required("mediaConfig")),
        participant_capacity=fields.whole("participantCapacity", 1, INT32_MAX),
        options=read_call_options(fields, "incomingCallOptions"),
    )


def parse_reject(body: object) -> RejectRequest:
    """Read the body of reject. The reason may be in any case, as documented."""
    fields = Fields.of_body(body)
    reason = fields.member("reason", RejectReason, any_case=True) or RejectReason.NONE
    return RejectRequest(reason.value, fields.https_uri("callbackUri"))


def parse_redirect(body: object) -> RedirectRequest:
    """Read the body of redirect."""
    fields = Fields.of_body(body)
    targets = fields.each("targets", read_target, 1, MAX_REDIRECT_TARGETS)
    if targets is None:
        raise fields.missing("targets")
    # Deprecated, and told by the number of targets; an example sends routingPolicies.
    fields.member("targetDisposition", CallDisposition)
    fields.members("routingPolicies", RoutingPolicy)
    default_s = REDIRECT_ONE_S if len(targets) == 1 else REDIRECT_MANY_S
    return RedirectRequest(
        targets=read_distinct(targets, "targets"),
        timeout_s=fields.whole("timeout", *REDIRECT_S) or default_s,
        callback_uri=fields.https_uri("callbackUri"),
        mask_callee=fields.boolean("maskCallee"),
        mask_caller=fields.boolean("maskCaller"),
    )


def parse_transfer(body: object) -> TransferRequest:
    """Read the body of transfer."""
    fields = Fields.of_body(body)
    transferee = fields.fields("transferee")
    return TransferRequest(
        target=read_target(fields.required("transferTarget")),
        transferee=None if transferee is None else read_target(transferee),
    )
