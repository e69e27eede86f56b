"""What commands take when no file is given: it comes with the package."""

from __future__ import annotations

import numpy as np

from mixminus.control.demo.files import CALLING_BOT, ECHO_BOT, SPEECH
from mixminus.control.host.bot import load_bot
from mixminus.media.pipeline import load_audio
from tests.support import ROOT


def test_the_speech_of_the_package_is_that_of_the_tests() -> None:
    assert np.array_equal(load_audio(SPEECH), load_audio(ROOT / "tests/data/speech.wav"))


def test_one_bot_answers_and_the_other_calls() -> None:
    answering, calling = load_bot(ECHO_BOT), load_bot(CALLING_BOT)
    assert answering.incoming_handler is not None
    assert answering.start_handler is None
    assert calling.start_handler is not None
    assert calling.incoming_handler is None
