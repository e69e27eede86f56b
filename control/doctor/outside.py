"""What is asked over the network: Graph, its authority, ACS, the console's issuer; all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ..settings import HostSettings
from .acs import CHECK as ACS
from .acs import ask_acs, check_acs
from .clock import check_offset, offset_s
from .findings import Finding, Level
from .graph import (
    GRAPH,
    KEYS,
    OFFLINE_REMEDY,
    ask_graph,
    check_graph,
    check_keys,
    check_token,
    fetch_keys,
    fetch_token,
)
from .network import Answer, in_own_thread
from .situation import Situation

NETWORK_S: Final = 5.0
"""How long one far end may keep us: ``doctor`` is to be done in 10 s."""
ACS_KEYS: Final = "ACS keys"
ISSUER: Final = "sign-in of the console"


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask a far end: ``work`` blocks, in a thread of its own."""

    check: str
    whom: str
    when_silent: Level
    work: Callable[[], list[Finding]]


async def check_outside(
    situation: Situation, answers: list[Answer], seconds: float = NETWORK_S
) -> list[Finding]:
    """Ask all that is outside, at the same time; *answers* gets what Graph answered."""
    found = await asyncio.gather(*(_asked(one, seconds) for one in questions(situation, answers)))
    return [finding for some in found for finding in some]


def questions(situation: Situation, answers: list[Answer]) -> Iterator[Question]:
    """Return what is to be asked; *answers* gets Graph's."""
    host, is_configured = situation.host, situation.is_configured
    urgency = Level.ERROR if is_configured else Level.WARNING
    yield Question(
        GRAPH,
        host.graph_base_url,
        urgency,
        lambda: _graph(host, answers, is_configured=is_configured),
    )
    if is_configured:
        yield Question(
            KEYS,
            host.open_id_config_url,
            Level.ERROR,
            lambda: _keys(KEYS, host, host.open_id_config_url, "open_id_config_url"),
        )
    if host.acs_connection_string is not None:
        yield Question(ACS, "the ACS resource", Level.ERROR, lambda: [check_acs(ask_acs(host))])
    if host.acs_resource_id is not None and host.acs_keys_file is None:
        url = host.acs_open_id_config_url
        yield Question(
            ACS_KEYS,
            url,
            Level.ERROR,
            lambda: _keys(ACS_KEYS, host, url, "acs_open_id_config_url", system_roots=True),
        )
    issuer = situation.console.oidc_authority
    if situation.console.enabled and issuer is not None:
        ca_file = situation.console.oidc_ca_file
        url = f"{issuer}/.well-known/openid-configuration"
        yield Question(
            ISSUER,
            issuer,
            Level.ERROR,
            lambda: [check_keys(ISSUER, *fetch_keys(url, ca_file), "[console] oidc_authority")],
        )


async def _asked(question: Question, seconds: float) -> list[Finding]:
    try:
        return await in_own_thread(question.work, seconds)
    except TimeoutError:
        found = f"{question.whom}: no answer in {seconds:g} s: offline, or a firewall drops it"
        return [Finding(question.check, question.when_silent, found, OFFLINE_REMEDY)]


def _graph(host: HostSettings, answers: list[Answer], *, is_configured: bool) -> list[Finding]:
    findings: list[Finding] = []
    token = ""
    if is_configured:
        secret = host.client_secret.get_secret_value()
        got = fetch_token(host.authority_url, host.app_id, secret, host.ca_file)
        findings.append(check_token(got, host.authority_url))
        token = got.token
    answer = ask_graph(host, token)
    answers.append(answer)
    findings.append(
        check_graph(answer, host.graph_base_url, has_token=bool(token), is_configured=is_configured)
    )
    return findings


def _keys(
    check: str, host: HostSettings, url: str, setting: str, *, system_roots: bool = False
) -> list[Finding]:
    answer, keys = fetch_keys(url, host.ca_file, system_roots=system_roots)
    return [check_keys(check, answer, keys, f"[host] {setting}")]


def check_wall_clock(answers: Iterable[Answer]) -> Finding:
    """Compare our clock with the first of *answers* that has a date."""
    for answer in answers:
        if answer.came:
            apart_s = offset_s(answer.date, answer.asked_s, answer.answered_s)
            if apart_s is not None:
                return check_offset(apart_s, answer.url.split("/")[2])
    return check_offset(None, "")
