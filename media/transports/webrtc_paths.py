"""From where a leg's far end may send, and where it is sent to: pure, time is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

MAX_PATHS: Final = 4
"""Validated addresses of one leg: a device has few networks, and each costs a route."""

NOMINATION_HELD_NS: Final = 3_000_000_000
"""How long a nominated path is kept against another of lower priority. Far ends that nominate all
they check would else move the media with every check; browsers check the one they use every 2.5 s.
"""

CONSENT_NS: Final = 30_000_000_000
"""RFC 7675 section 5.1: an address that proved nothing for so long is no longer sent to."""

PathT = TypeVar("PathT")


@dataclass(slots=True)
class _Standing:
    generation: int
    priority: int
    heard_ns: int
    nominated_ns: int | None


class ValidatedPaths(Generic[PathT]):
    """The paths on which a far end has proven itself, and the one that is used.

    A *generation* is one pair of ICE credentials; a restart begins the next. Its first valid path
    is used at once; within it the far end nominates (RFC 8445 section 8.1.1).
    """

    def __init__(self) -> None:
        self._paths: dict[PathT, _Standing] = {}
        self.selected: PathT | None = None

    def __contains__(self, path: PathT) -> bool:
        return path in self._paths

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def all(self) -> tuple[PathT, ...]:
        """Every validated path."""
        return tuple(self._paths)

    @property
    def generation(self) -> int:
        """The generation of the path that is used; -1 before there is one."""
        return -1 if self.selected is None else self._paths[self.selected].generation

    @property
    def is_nominated(self) -> bool:
        """Whether the far end has nominated the path that is used."""
        return self.selected is not None and self._paths[self.selected].nominated_ns is not None

    def heard(
        self, path: PathT, *, generation: int, priority: int, nominates: bool, now_ns: int
    ) -> PathT | None:
        """Note a good check on *path*. Returns the path that had to go for it."""
        standing = self._paths.get(path)
        evicted = None
        if standing is None or standing.generation < generation:
            if standing is None and len(self._paths) == MAX_PATHS:
                evicted = self._stalest()
                del self._paths[evicted]
            standing = self._paths[path] = _Standing(generation, priority, now_ns, None)
        standing.heard_ns, standing.priority = now_ns, priority
        if path != self.selected and self._takes_over(standing, nominates, now_ns):
            self.selected = path
        if nominates:
            standing.nominated_ns = now_ns
        return evicted

    def is_fresh(self, path: PathT, now_ns: int) -> bool:
        """Whether the far end has proven itself on *path* within the time of consent."""
        standing = self._paths.get(path)
        return standing is not None and now_ns - standing.heard_ns < CONSENT_NS

    def drop(self, path: PathT) -> None:
        """Forget *path*."""
        self._paths.pop(path, None)
        if self.selected == path:
            self.selected = None

    def expire(self, now_ns: int) -> list[PathT]:
        """Forget the paths that are not used and out of date. Returns them.

        One that is used is left first for one that has consent, if there is such a one; where there
        is none, the far end is silent altogether, which others judge.
        """
        self._leave_stale(now_ns)
        gone = [
            path
            for path, standing in self._paths.items()
            if path != self.selected
            and now_ns - standing.heard_ns
            > (CONSENT_NS if standing.generation == self.generation else NOMINATION_HELD_NS)
        ]
        for path in gone:
            del self._paths[path]
        return gone

    def _leave_stale(self, now_ns: int) -> None:
        if self.selected is None or self.is_fresh(self.selected, now_ns):
            return
        fresh = [
            path
            for path, standing in self._paths.items()
            if standing.generation == self.generation and self.is_fresh(path, now_ns)
        ]
        if fresh:
            self.selected = max(fresh, key=lambda path: self._paths[path].heard_ns)

    def _takes_over(self, standing: _Standing, nominates: bool, now_ns: int) -> bool:
        if self.selected is None:
            return True
        used = self._paths[self.selected]
        if standing.generation != used.generation:
            return standing.generation > used.generation
        if not nominates:
            return False
        return (
            used.nominated_ns is None
            or standing.priority >= used.priority
            or now_ns - used.nominated_ns > NOMINATION_HELD_NS
        )

    def _stalest(self) -> PathT:
        return min(
            (path for path in self._paths if path != self.selected),
            key=lambda path: (self._paths[path].generation, self._paths[path].heard_ns),
        )
