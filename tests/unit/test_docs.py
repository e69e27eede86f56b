"""What the pages show runs as they show it."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.rtp import RtpEndpoint
from mixminus.media.transports.rtp_sdp import answer_offer, parse_answer, write_offer
from tests.support import ROOT

GATEWAY = ("127.0.0.1", 40_000)


def example(page: str) -> str:
    """Return the first block of a page."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.S | re.M)
    assert blocks, f"expected an example in {page}, found none"
    return str(blocks[0])


async def test_a_gateways_invite_is_answered_as_the_page_on_rtp_shows() -> None:
    # The address is not this machine's; all else is run as it stands.
    body = example("rtp.md").replace('"10.0.0.5"', '"127.0.0.1"')
    names: dict[str, Any] = {"RtpEndpoint": RtpEndpoint, "answer_offer": answer_offer}
    exec("async def run():\n" + textwrap.indent(body + "return locals()", "    "), names)
    guarded: list[tuple[str, int]] = []
    offer = write_offer(GATEWAY)
    async with MediaPlatform() as platform:
        bridge = platform.create_bridge()
        names.update(
            platform=platform,
            invite_sdp=offer,
            check=guarded.append,
            bridge_leg=bridge.add_leg(1),
            heard_key=lambda key: None,
            media_changed=lambda flows: None,
        )
        shown = await names["run"]()
        assert guarded == [GATEWAY]
        assert shown["leg"].remote == GATEWAY
        assert shown["leg"].on_tone is names["heard_key"]
        assert shown["leg"].closed.done()
        assert parse_answer(shown["answer"], offer=offer).parameters.remote == (
            shown["endpoint"].address
        )
        await shown["endpoint"].close()
        bridge.close()
