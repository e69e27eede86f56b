"""The example that survives a crash: its page is in the store before it is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mixminus.control.host.bot import load_bot
from mixminus.control.host.call import HostedCall
from tests.kept_kit import OWN, KeptWorld, kept_world_of
from tests.session_kit import FakeTransport
from tests.support import ROOT, eventually
from tests.unit.test_kept_calls import LINK

PAGE_FRAMES = 100


def _at_page(world: KeptWorld, call: HostedCall, page: int) -> Callable[[], bool]:
    """Say whether the store has that page; each look takes as long as half a page does."""

    def look() -> bool:
        for _ in range(PAGE_FRAMES // 2):
            world.platform.tick()
        kept: object = world.store.row(call.id).saved_state
        return kept == {"page": page}

    return look


async def test_the_reader_goes_on_with_its_page_after_a_crash(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with kept_world_of() as world:
        vars(world.bot).update(vars(load_bot(ROOT / "examples/survivor_bot.py")))
        old = await world.calls.join(join_url=LINK)
        assert old.session is not None
        old.session.attach(FakeTransport())
        world.say(old.id, "established")
        await eventually(_at_page(world, old, 3))
        await world.crash()
        assert old.bot_error is None
        row = await world.store.claim(old.lineage, 1, OWN)
        new = await world.calls.join_again(row)
        assert new.session is not None
        new.session.attach(FakeTransport())
        world.say(new.id, "established")
        await eventually(_at_page(world, new, 5))
        assert capsys.readouterr().out == "back in epoch 2, at page 3\n"
        world.store.away = None
        world.say(new.id, "terminated")
        await new.wait_closed()
        assert new.bot_error is None
