"""The query options that call records have beyond others: filters, and what leads to pages.

Source: Microsoft Graph, get and list callRecords; OData 4.01 URL conventions, section 5.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from ...graph import errors
from ...graph.odata import QueryOptions
from ...store.base import RecordQuery

Options = dict[str, str]
Params = list[tuple[str, str]]

_FRACTION = re.compile(r"\.(\d{1,12})(?=Z|[+-]|$)", re.IGNORECASE)
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(\.\d{1,12})?(Z|[+-]\d\d:\d\d)?)?", re.IGNORECASE
)
_START = re.compile(r"startDateTime\s+(lt|le|gt|ge)\s+(\S+)", re.IGNORECASE)
_PERSON = re.compile(
    r"participants(?:_v2)?/any\(\s*(\w+)\s*:\s*(\w+)/id\s+eq\s+'((?:[^']|'')*)'\s*\)",
    re.IGNORECASE,
)
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_FILTER_CHARS: Final = 1024


def page_options(params: Iterable[tuple[str, str]], *allowed: str) -> tuple[Params, Options]:
    """Take the options of *allowed*, without their ``$``, out of a query; return the rest and them.

    Raises: GraphError 400 on one that is given twice.
    """
    rest: Params = []
    found: Options = {}
    for name, value in params:
        folded = name.strip().removeprefix("$").casefold()
        if folded not in allowed:
            rest.append((name, value))
        elif folded in found:
            raise errors.bad_request(f"The query option '${folded}' is given twice.")
        else:
            found[folded] = value
    return rest, found


def rendered(options: QueryOptions) -> Options:
    """Write ``$select`` and ``$expand`` as a query has them: for the link to the next page."""
    shown: Options = {}
    if options.select is not None:
        shown["$select"] = ",".join(sorted(options.select))
    if options.expand:
        shown["$expand"] = ",".join(
            f"{name}({';'.join(f'{key}={value}' for key, value in rendered(inner).items())})"
            if rendered(inner)
            else name
            for name, inner in options.expand.items()
        )
    return shown


def apply_filter(query: RecordQuery, option: str | None) -> RecordQuery:
    """Return *query* narrowed to what ``$filter`` asks for.

    Raises: GraphError 400 on what is not startDateTime with lt, le, gt, ge, or
            participants_v2/any(p:p/id eq '...'), or several of them with and.
    """
    if option is None:
        return query
    if len(option) > MAX_FILTER_CHARS:
        raise errors.bad_request(f"$filter: expected at most {MAX_FILTER_CHARS} characters.")
    for clause in _clauses(option.strip()):
        if found := _START.fullmatch(clause):
            query = _bounded(query, found[1].casefold(), found[2])
        elif (found := _PERSON.fullmatch(clause)) and found[1] == found[2]:
            person = found[3].replace("''", "'")
            if query.person_id not in (None, person):
                raise errors.bad_request("$filter: expected one participant.")
            query = replace(query, person_id=person)
        else:
            raise errors.bad_request(
                "$filter: expected startDateTime with lt, le, gt or ge, or"
                f" participants_v2/any(p:p/id eq '...'), got '{clause[:64]}'."
            )
    return query


def parse_moment(text: str, where: str) -> tuple[datetime, bool]:
    """Return a date, or a date and time, cut to microseconds; and whether something was cut off.

    It is UTC unless it says otherwise.
    Raises: GraphError 400.
    """
    refused = errors.bad_request(
        f"{where}: expected a date and time such as 2020-02-25T18:52:21Z, got '{text[:40]}'."
    )
    if not _MOMENT.fullmatch(text):
        raise refused
    fraction = _FRACTION.search(text)
    digits = "" if fraction is None else fraction[1]
    short = _FRACTION.sub(f".{digits[:6]:0<6}", text)
    try:
        moment = datetime.fromisoformat(short.upper())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise refused from None
    return moment, bool(digits[6:].strip("0"))


def person_of_filter(option: str) -> str:
    """Return the id in a subscription's filter on participants.

    Raises: GraphError 400 on any other filter.
    """
    found = _PERSON.fullmatch(option.strip())
    if found is None or found[1] != found[2]:
        raise errors.bad_request("$filter: expected participants/any(p:p/id eq '{id}').")
    return found[3].replace("''", "'")


def _bounded(query: RecordQuery, operator: str, text: str) -> RecordQuery:
    moment, is_cut = parse_moment(text, "$filter")
    floor = (moment - _EPOCH) // timedelta(microseconds=1)
    ceiling = floor + is_cut
    low, high = query.started_from_us, query.started_to_us
    if operator in ("gt", "ge"):
        bound = floor + 1 if operator == "gt" else ceiling
        return replace(query, started_from_us=bound if low is None else max(low, bound))
    bound = ceiling - 1 if operator == "lt" else floor
    return replace(query, started_to_us=bound if high is None else min(high, bound))


def _clauses(option: str) -> list[str]:
    """Split at ``and``, but not within a quoted text."""
    texts: list[str] = []

    def hide(found: re.Match[str]) -> str:
        texts.append(found[0])
        return f"'{len(texts) - 1}'"

    hidden = _TEXT.sub(hide, option)
    return [
        re.sub(r"'(\d+)'", lambda found: texts[int(found[1])], clause)
        for clause in _AND.split(hidden)
    ]
