"""The demo's picture: both waveforms and spectrograms, delay over time, tick lateness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mixminus.media.pcm import FRAME_MS, SAMPLE_RATE_HZ, Pcm

from .echo import EchoReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INPUT: Final = "#2563a8"
ECHO: Final = "#c2571a"
MAX_POINTS: Final = 4000
SPECTROGRAM_S: Final = 60.0
"""What a spectrogram of a long call shows of its beginning: more would be a smear of columns."""


def save_picture(
    path: Path,
    played: Pcm,
    heard: Pcm,
    echo: EchoReport,
    lateness_us: Mapping[str, Sequence[float]],
    title: str,
) -> None:
    """Draw one PNG.

    Shape:  played, heard: mono int16 on one timeline.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplot_mosaic(
        [["played", "played_s"], ["heard", "heard_s"], ["delay", "lateness"]],
        figsize=(14, 9),
        layout="constrained",
    )
    figure.suptitle(title, fontsize=13)
    seconds = max(played.size, heard.size, 1) / SAMPLE_RATE_HZ
    draw_waveform(axes["played"], played, "what John said", INPUT, seconds)
    draw_waveform(axes["heard"], heard, "what John heard", ECHO, seconds)
    draw_spectrogram(axes["played_s"], played, "what John said")
    draw_spectrogram(axes["heard_s"], heard, "what John heard")
    draw_delay(axes["delay"], echo, seconds)
    draw_lateness(axes["lateness"], lateness_us)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_waveform(axes: Axes, pcm: Pcm, name: str, colour: str, seconds: float) -> None:
    """Draw the envelope: least and greatest sample of each column."""
    column = max(1, pcm.size // MAX_POINTS)
    whole = pcm[: pcm.size // column * column].reshape(-1, column) / 32768.0
    at_s = np.arange(len(whole)) * column / SAMPLE_RATE_HZ
    if whole.size:
        axes.fill_between(at_s, whole.min(axis=1), whole.max(axis=1), color=colour, linewidth=0.4)
    axes.set(title=name, xlim=(0, seconds), ylim=(-0.6, 0.6), ylabel="of full scale")
    axes.grid(alpha=0.25)


def spectrogram_db(pcm: Pcm) -> NDArray[np.float64]:
    """Power of 32 ms Hann windows every 8 ms in dB below full scale, (frequencies, columns)."""
    size, hop = 512, 128
    window = np.hanning(size)
    padded = np.concatenate([pcm / 32768.0, np.zeros(size)])
    count = max(1, (padded.size - size) // hop)
    rows = np.lib.stride_tricks.sliding_window_view(padded, size)[: count * hop : hop]
    power = np.square(np.abs(np.fft.rfft(rows * window, axis=1)) / window.sum() * 2)
    result: NDArray[np.float64] = 10 * np.log10(np.maximum(power.T, 1e-12))
    return result


def draw_spectrogram(axes: Axes, pcm: Pcm, name: str) -> None:
    """Draw power over time and frequency."""
    part = pcm[: int(SPECTROGRAM_S * SAMPLE_RATE_HZ)]
    seconds = max(part.size, 1) / SAMPLE_RATE_HZ
    image = axes.imshow(
        spectrogram_db(part),
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, SAMPLE_RATE_HZ / 2000),
        cmap="magma",
        vmin=-100,
        vmax=-20,
    )
    axes.figure.colorbar(image, ax=axes, label="dB", pad=0.01)
    shown = f", first {SPECTROGRAM_S:.0f} s" if part.size < pcm.size else ""
    axes.set(title=f"spectrogram of {name}{shown}", ylabel="kHz")


def draw_delay(axes: Axes, echo: EchoReport, seconds: float) -> None:
    """Draw each active window's delay, coloured by how like the echo it is."""
    if echo.windows:
        dots = axes.scatter(
            [w.at_s for w in echo.windows],
            [w.delay_ms for w in echo.windows],
            c=[-w.correlation for w in echo.windows],
            cmap="viridis_r",
            vmin=0.8,
            vmax=1.0,
            s=14,
        )
        axes.figure.colorbar(dots, ax=axes, label="likeness (-correlation)", pad=0.01)
        top = max(w.delay_ms for w in echo.windows)
        axes.set_ylim(0, max(320.0, top * 1.15))
        axes.axhline(300, color="grey", linewidth=0.8, linestyle="--")
    else:
        axes.text(0.5, 0.5, "no echo", ha="center", va="center", transform=axes.transAxes)
    axes.set(title="round trip", xlim=(0, seconds), xlabel="s", ylabel="ms")
    axes.grid(alpha=0.25)


def draw_lateness(axes: Axes, lateness_us: Mapping[str, Sequence[float]]) -> None:
    """Draw how late each tick started, per process."""
    for name, values in lateness_us.items():
        at_s = np.arange(len(values)) * FRAME_MS / 1000
        axes.plot(at_s, np.maximum(values, 1.0), linewidth=0.7, alpha=0.85, label=name)
    axes.set_yscale("log")
    axes.axhline(20_000, color="grey", linewidth=0.8, linestyle="--")
    axes.set(title="tick lateness (dashed: a whole tick)", xlabel="s", ylabel="us")
    axes.grid(alpha=0.25)
    if lateness_us:
        axes.legend(frameon=False, ncols=len(lateness_us), fontsize=9)
