"""Axes of charts: round ticks, and where values are in the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

_ROUND_RESOLUTIONS = (100.0, 50.0, 30.0, 20.0, 15.0, 12.0, 10.0, 8.0, 7.0, 6.0, 5.0, 4.5, 4.0, 3.5, 3.2, 3.0, 2.8, 2.6,
                      2.4, 2.2, 2.0, 1.8, 1.6, 1.4, 1.2, 1.0)
_CLOSEST = 34.0  # distance of two labels of resolution, px


@dataclass(frozen=True)
class Axis:
    """A linear axis: values from `low` to `high` are drawn from `start` to `end` px."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Return where a value is, px."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def data(self) -> str:
        """The four numbers, for the script that shows values under the pointer."""
        return " ".join(f"{number:.6g}" for number in (self.low, self.high, self.start, self.end))


def round_axis(low: float, high: float, start: float, end: float, *, whole: bool = False) -> tuple[Axis, list[float]]:
    """Return an axis that begins and ends at round values, and its ticks; of `whole` numbers, only these."""
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = 0.0, 1.0
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    step = round_step((high - low) / 4.0)
    step = max(1.0, round(step)) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(first * step, last * step, start, end), [number * step for number in range(first, last + 1)]


def tight_axis(low: float, high: float, start: float, end: float) -> tuple[Axis, list[float]]:
    """Return an axis from the lowest to the highest value, and the round values between them as ticks."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    step = round_step((high - low) / 5.0)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Axis(low, high, start, end), [number * step for number in range(first, last + 1)]


def round_step(wanted: float) -> float:
    """Return 1, 2 or 5 times a power of ten, the nearest that is not below `wanted`.

    >>> [round_step(value) for value in (0.03, 3.0, 10.0)]
    [0.05, 5.0, 10.0]
    """
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= wanted * (1 - 1e-9))


def tick_text(value: float) -> str:
    """Return a tick's label, with a true minus."""
    if abs(value) >= 10_000:
        text = f"{value:,.0f}"
    else:
        text = f"{round(value, 10):.6g}"
    return text.replace("-", "−")


def resolution_ticks(axis: Axis) -> list[tuple[float, str]]:
    """Return place and label of round resolutions on an axis of spatial frequency (1/Å)."""
    found: list[tuple[float, str]] = []
    for resolution in _ROUND_RESOLUTIONS:
        at = axis.place(1.0 / resolution)
        if axis.low < 1.0 / resolution <= axis.high * 1.0001 and (not found or at - found[-1][0] >= _CLOSEST):
            found.append((at, f"{resolution:g}"))
    return found
