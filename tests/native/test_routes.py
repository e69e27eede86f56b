"""The table of routes: a dict that never changes."""

from __future__ import annotations

import ctypes as c
import errno
import random

from hypothesis import given
from hypothesis import strategies as st

from tests.native.address_types import Address, of
from tests.native.clib import library_path

LIB = c.CDLL(str(library_path("routes.c", "address.c", "memory.c")), use_errno=True)
LIB.mm_routes_create.restype = LIB.mm_routes_find.restype = c.c_void_p
LIB.mm_routes_create.argtypes = [c.c_void_p, c.c_size_t]
LIB.mm_routes_destroy.argtypes = [c.c_void_p]
LIB.mm_routes_find.argtypes = [c.c_void_p, c.c_void_p]
LIB.mm_pages_live.restype = c.c_long


class Route(c.Structure):
    _fields_ = (("address", Address), ("peer", c.c_void_p))


class Routes:
    def __init__(self, routes: list[tuple[tuple[str, int], int]]) -> None:
        made = (Route * len(routes))(*(Route(of(at), peer) for at, peer in routes))
        self.at = LIB.mm_routes_create(made, len(routes))
        assert self.at

    def __del__(self) -> None:
        LIB.mm_routes_destroy(self.at)

    def find(self, at: tuple[str, int]) -> int | None:
        found: int | None = LIB.mm_routes_find(self.at, c.byref(of(at)))
        return found


# Few hosts and ports, so that the same one comes again.
PLACES = st.tuples(
    st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "::1"]),
    st.integers(1, 12),
)


@given(st.lists(st.tuples(PLACES, st.integers(1, 2**48))), st.lists(PLACES))
def test_routes_behave_as_a_dict(
    routes: list[tuple[tuple[str, int], int]], asked: list[tuple[str, int]]
) -> None:
    table, model = Routes(routes), dict(routes)
    for at in [*asked, *model]:
        assert table.find(at) == model.get(at)


def test_routes_of_a_full_host_are_all_found_and_a_flood_is_not() -> None:
    rng = random.Random(7)
    model = {
        (f"198.51.{i // 250}.{i % 250}", rng.randrange(1024, 65536)): i + 1 for i in range(2000)
    }
    table = Routes(list(model.items()))
    live = LIB.mm_pages_live()
    for at, peer in model.items():
        assert table.find(at) == peer
    for _ in range(20_000):
        at = (f"203.0.113.{rng.randrange(256)}", rng.randrange(1024, 65536))
        assert table.find(at) is None
    assert LIB.mm_pages_live() == live


def test_no_table_and_an_empty_one_find_nobody() -> None:
    assert LIB.mm_routes_find(None, c.byref(of(("192.0.2.1", 5)))) is None
    assert Routes([]).find(("192.0.2.1", 5)) is None


def test_a_route_to_nobody_is_refused() -> None:
    made = (Route * 2)(Route(of(("192.0.2.1", 5)), 1), Route(of(("192.0.2.1", 6)), None))
    assert LIB.mm_routes_create(made, 2) is None
    assert c.get_errno() == errno.EINVAL


def test_a_number_of_routes_beyond_any_memory_is_refused() -> None:
    assert LIB.mm_routes_create(None, 2**63) is None
    assert c.get_errno() == errno.ENOMEM


def test_tables_leave_nothing_behind() -> None:
    live = LIB.mm_pages_live()
    Routes([(("192.0.2.1", 5), 1)])
    LIB.mm_routes_destroy(None)
    assert LIB.mm_pages_live() == live
