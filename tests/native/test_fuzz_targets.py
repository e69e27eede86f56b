"""Everything that reads what strangers send is fuzzed, and `make fuzz` finds all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.native.clib import FUZZ, NATIVE
from tests.native.fuzz import run

# A function of ours that is handed bytes or packets of the far end.
READS = re.compile(
    r"\bmm_\w+\([^;{]*?(?:const uint8_t \*\s*\w+|uint8_t \*bytes|const mm_rtp \*\s*\w+|"
    r"const mm_rtcp \*\s*\w+)"
)


def readers() -> list[str]:
    """The headers in native/ that declare such a function."""
    return sorted(path.name for path in NATIVE.glob("*.h") if READS.search(path.read_text()))


def fuzzed() -> set[str]:
    """What is in any target."""
    return {Path(source).name for sources in run.targets().values() for source in sources}


def test_the_rule_sees_the_parsers_that_we_know() -> None:
    known = {"rtp.h", "rtcp.h", "demux.h", "codec.h", "opus.h", "srtp.h", "peer.h", "receive.h"}
    assert known <= set(readers())


@pytest.mark.parametrize("header", readers())
def test_what_reads_the_far_ends_bytes_is_in_a_target(header: str) -> None:
    stem = header.removesuffix(".h")
    if (NATIVE / f"{stem}.c").exists():
        assert f"{stem}.c" in fuzzed(), f"no fuzz target has {stem}.c in its sources"
        return
    # Inline functions alone: fuzzed with a file that has them.
    users = {p.name for p in NATIVE.glob("*.c") if f'"{header}"' in p.read_text()}
    assert users & fuzzed(), f"no fuzz target has a file that includes {header}"


def test_each_fuzz_file_has_its_sources_and_a_corpus() -> None:
    files = {path.stem.removeprefix("fuzz_") for path in FUZZ.glob("fuzz_*.c")}
    assert files == set(run.targets())
    for name in files:
        kept = [path for path in (FUZZ / "corpus" / name).glob("*") if path.is_file()]
        assert kept, f"no kept input for {name}"


def test_what_ended_a_target_is_kept_in_its_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FUZZ", tmp_path / "fuzz")
    monkeypatch.setattr(run, "BUILD", tmp_path / "build")
    (tmp_path / "build" / "rtp").mkdir(parents=True)
    (tmp_path / "build" / "rtp" / "crash-1234").write_bytes(b"\x80")
    (tmp_path / "build" / "rtp" / "0a1b").write_bytes(b"\x80\x00")
    assert [path.name for path in run.keep_findings("rtp")] == ["crash-1234"]
    assert (tmp_path / "fuzz" / "corpus" / "rtp" / "crash-1234").read_bytes() == b"\x80"
    assert run.keep_findings("rtp") == []


def test_the_number_of_inputs_is_read_from_what_libfuzzer_says() -> None:
    assert (
        run.executions("#2 INITED\n#4194304 pulse\nDone 5000123 runs in 11 second(s)\n") == 5000123
    )
    assert run.executions("usage") == 0


def test_a_name_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["no_such_target"])
    assert "got no_such_target" in capsys.readouterr().err


def test_a_finding_ends_with_1_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fuzz(name: str, *sources: object, seconds: int) -> str:
        raise AssertionError(f"{name}: heap-buffer-overflow")

    monkeypatch.setattr(run, "fuzz", fuzz)
    monkeypatch.setattr(run, "replay", lambda *a, **k: "1 kept inputs")
    assert run.main(["rtp", "--seconds", "1", "--runs", "1"]) == 1
    assert "heap-buffer-overflow" in capsys.readouterr().out
