"""Draw the ``sequence`` blocks of the pages: lanes, messages, notes, as SVG in the page's colours.

A block is read by people as it stands::

    lanes: BotHost | CallService | John's browser
    BotHost -> CallService: POST /v1.0/communications/calls
    CallService -> BotHost: 201, state establishing
    CallService: the call and its notification, in one transaction
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

BLOCK = re.compile(r"^```sequence\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ARROW = re.compile(r"^(?P<start>.+?) -> (?P<end>.+?): (?P<text>.+)$")
NOTE = re.compile(r"^(?P<lane>[^:]+): (?P<text>.+)$")

LANE_PX = 190
HEAD_PX = 34
ROW_PX = 36
LINE_PX = 15
CHARACTERS = 28
"""As many as fit between two lanes at the type's size."""


class DiagramError(ValueError):
    """A block that cannot be drawn; the message quotes the line."""


class Step(NamedTuple):
    """A message from one lane to another; one to itself is a note."""

    start: int
    end: int
    text: str


class Sequence(NamedTuple):
    """What a block says."""

    lanes: tuple[str, ...]
    steps: tuple[Step, ...]


def parse(block: str) -> Sequence:
    """Read a block.

    Raises: DiagramError.
    """
    first, *rest = [line.strip() for line in block.strip().splitlines() if line.strip()]
    if not first.startswith("lanes: "):
        raise DiagramError(f"expected 'lanes: A | B', got {first!r}")
    lanes = tuple(lane.strip() for lane in first.removeprefix("lanes: ").split("|"))

    def place(name: str, line: str) -> int:
        if name not in lanes:
            raise DiagramError(f"expected one of {', '.join(lanes)}, got {name!r} in {line!r}")
        return lanes.index(name)

    steps = []
    for line in rest:
        if found := ARROW.match(line):
            start, end = place(found["start"], line), place(found["end"], line)
        elif found := NOTE.match(line):
            start = end = place(found["lane"], line)
        else:
            raise DiagramError(f"expected 'A -> B: words' or 'A: words', got {line!r}")
        steps.append(Step(start, end, found["text"]))
    return Sequence(lanes, tuple(steps))


def draw(sequence: Sequence) -> str:
    """Return the diagram as one line of SVG, in the colours of the text around it."""
    parts: list[str] = []
    y = HEAD_PX + 22
    for step in sequence.steps:
        lines = _wrap(step.text, CHARACTERS * max(1, abs(step.end - step.start)))
        y += LINE_PX * (len(lines) - 1)
        parts += _step(step, lines, y)
        y += ROW_PX
    width, height = LANE_PX * len(sequence.lanes), y
    label = html.escape("; ".join(_spoken(sequence, step) for step in sequence.steps), quote=True)
    return (
        f'<svg class="sequence" role="img" aria-label="{label}" viewBox="0 0 {width} {height}"'
        f' style="width:100%;max-width:{width}px;height:auto" font-size="11.5"'
        ' font-family="inherit" fill="currentColor" stroke-linecap="round">'
        + "".join(_lane(index, name, height) for index, name in enumerate(sequence.lanes))
        + "".join(parts)
        + "</svg>"
    )


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put drawings in the place of a page's blocks; MkDocs calls this for each page."""
    return BLOCK.sub(lambda found: draw(parse(found[1])), markdown)


def _spoken(sequence: Sequence, step: Step) -> str:
    start, end = sequence.lanes[step.start], sequence.lanes[step.end]
    return f"{start}: {step.text}" if start == end else f"{start} to {end}: {step.text}"


def _lane(index: int, name: str, height: int) -> str:
    x = LANE_PX * index + LANE_PX // 2
    return (
        f'<rect x="{x - 80}" y="2" width="160" height="{HEAD_PX - 6}" rx="5" fill="none"'
        ' stroke="currentColor" stroke-opacity="0.5"/>'
        f'<text x="{x}" y="20" text-anchor="middle" font-weight="600">{html.escape(name)}</text>'
        f'<path d="M{x} {HEAD_PX - 4}V{height}" stroke="currentColor" stroke-opacity="0.25"/>'
    )


def _step(step: Step, lines: list[str], y: int) -> list[str]:
    x = LANE_PX * step.start + LANE_PX // 2
    if step.start == step.end:
        dot = f'<circle cx="{x}" cy="{y - 3}" r="3.5"/>'
        return [dot, *_text(lines, x + 10, y, "start")]
    end = LANE_PX * step.end + LANE_PX // 2
    back = -7 if end > x else 7
    arrow = (
        f'<path d="M{x} {y}H{end - (1 if end > x else -1)}M{end + back} {y - 4}L{end} {y}'
        f'L{end + back} {y + 4}" fill="none" stroke="currentColor" stroke-opacity="0.8"/>'
    )
    # Beside the lane that speaks, above its arrow.
    anchor = "start" if end > x else "end"
    return [arrow, *_text(lines, x + (8 if end > x else -8), y - 6, anchor)]


def _text(lines: list[str], x: int, bottom: int, anchor: str) -> list[str]:
    top = bottom - LINE_PX * (len(lines) - 1)
    return [
        f'<text x="{x}" y="{top + LINE_PX * row}" text-anchor="{anchor}">{html.escape(line)}</text>'
        for row, line in enumerate(lines)
    ]


def _wrap(text: str, characters: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > characters:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
