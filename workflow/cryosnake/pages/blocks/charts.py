"""Charts as data: the template draws them as SVG, the script reads values back from the same points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cryosnake.pages.blocks.scales import Axis, resolution_ticks, round_axis, tick_text, tight_axis

WIDTH, HEIGHT = 460.0, 264.0  # px of the drawing
_LEFT, _RIGHT, _TOP, _BOTTOM = 54.0, 12.0, 14.0, 42.0
_MOST_POINTS = 400  # of a line: more are thinned, which nobody sees at this width


@dataclass(frozen=True, kw_only=True)
class Series:
    """Values of one name: `look` is line, thin, dots or bars; `colour` the number of its colour and dashes.

    Bars end at `y`, and stand for `own` where they are stacked.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    look: str = "line"
    colour: int = 0
    own: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A straight line at a value of an axis ("x" or "y"), with words."""

    axis: str
    value: float
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class DrawnSeries:
    """A series as the template draws it: `points` of a polyline, and for bars the outline `path`."""

    name: str
    look: str
    colour: int
    points: str
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class DrawnGuide:
    """A guide in px: its two ends, and where its words are."""

    x1: float
    y1: float
    x2: float
    y2: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A finished chart. `x_kind` is number or resolution: then x is a spatial frequency, shown in Å."""

    title: str
    x_label: str
    y_label: str
    x_kind: str
    x: Axis
    y: Axis
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    series: list[DrawnSeries]
    guides: list[DrawnGuide] = field(default_factory=list)
    width: float = WIDTH
    height: float = HEIGHT
    kind: str = "chart"

    @property
    def legend(self) -> list[DrawnSeries]:
        """The series with a name, where there are several."""
        named = [series for series in self.series if series.name]
        return named if len(named) > 1 else []


def chart(title: str, labels: tuple[str, str], series: Sequence[Series], *, x_kind: str = "number",
          y_range: tuple[float, float] | None = None, guides: Iterable[Guide] = (), whole: bool = False) -> Chart:
    """Return a chart of some series.

    Parameters
    ----------
    labels
        Of x and y.
    x_kind
        "resolution": x are spatial frequencies in 1/Å.
    y_range
        Lowest and highest value; default: those of the data.
    whole
        Whether y counts things.
    """
    series = [one for one in map(_finite, series) if len(one.x)]
    all_x = np.concatenate([one.x for one in series]) if series else np.array([0.0, 1.0])
    all_y = np.concatenate([one.y for one in series]) if series else np.array([0.0, 1.0])
    low, high = y_range or (float(all_y.min()), float(all_y.max()))
    if any(one.look == "bars" for one in series):
        low = 0.0
    y, y_ticks = round_axis(low, high, HEIGHT - _BOTTOM, _TOP, whole=whole)
    if x_kind == "resolution":
        x = Axis(0.0, float(all_x.max()) or 1.0, _LEFT, WIDTH - _RIGHT)
        x_ticks = resolution_ticks(x)
    else:
        half = _bar_width(series) / 2
        x, ticks = tight_axis(float(all_x.min()) - half, float(all_x.max()) + half, _LEFT, WIDTH - _RIGHT)
        x_ticks = [(x.place(tick), tick_text(tick)) for tick in ticks]
    return Chart(title=title, x_label=labels[0], y_label=labels[1], x_kind=x_kind, x=x, y=y, x_ticks=x_ticks,
                 y_ticks=[(y.place(tick), tick_text(tick)) for tick in y_ticks],
                 series=[_drawn(one, x, y) for one in series], guides=[_guide(one, x, y) for one in guides
                                                                      if _inside(one, x, y)])


def histogram(title: str, x_label: str, groups: Sequence[tuple[str, np.ndarray, int]], *, y_label: str = "micrographs",
              guides: Iterable[Guide] = ()) -> Chart:
    """Return a histogram of groups of values (name, values, colour), stacked from the first on.

    The uppermost values of more than 100 are gathered in the last bar. With "%" in `y_label` bars are shares of all.
    """
    groups = [(name, values[np.isfinite(values)], colour) for name, values, colour in groups]
    everything = np.concatenate([values for _, values, _ in groups])
    if not everything.size:
        return chart(title, (x_label, y_label), [])
    high = float(np.percentile(everything, 99.5)) if everything.size > 100 else float(everything.max())
    bins = int(np.clip(np.sqrt(everything.size) * 1.5, 6, 40))
    low = float(everything.min())
    if high - low < 0.01 * abs(high):  # all are the same: one bar in the middle
        low, high, bins = low - 0.05 * (abs(low) or 1.0), high + 0.05 * (abs(high) or 1.0), 5
    edges = np.linspace(low, high, bins + 1)
    centres, below = 0.5 * (edges[1:] + edges[:-1]), np.zeros(bins)
    bars = []
    each = 100.0 / everything.size if "%" in y_label else 1.0
    for name, values, colour in groups:
        own = each * np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        below = below + own
        bars.append(Series(name=name, x=centres, y=below, look="bars", colour=colour, own=own))
    return chart(title, (x_label, y_label), bars[::-1], guides=guides, whole="%" not in y_label)


def course(title: str, y_label: str, values: np.ndarray, *, colour: int = 0, most: int = 300) -> Chart:
    """Return values (n,) in their order: each as a dot, or of more than `most` the medians of groups."""
    number = np.arange(1, len(values) + 1, dtype=float)
    label = "micrograph, in order"
    if len(values) > most:
        groups = np.array_split(np.arange(len(values)), most // 2)
        label = f"micrograph, in order (each dot the median of {len(groups[0])})"
        number = np.array([number[group].mean() for group in groups])
        values = np.array([np.nanmedian(values[group]) for group in groups])
    return chart(title, (label, y_label), [Series(name=y_label, x=number, y=values, look="dots", colour=colour)])


def _finite(series: Series) -> Series:
    if series.look == "bars":
        return series
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    if series.look in ("line", "thin") and len(x) > _MOST_POINTS:
        step = -(-len(x) // _MOST_POINTS)
        x, y = x[::step], y[::step]
    return Series(name=series.name, x=x, y=y, look=series.look, colour=series.colour)


def _bar_width(series: Sequence[Series]) -> float:
    return max((float(one.x[1] - one.x[0]) for one in series if one.look == "bars" and len(one.x) > 1), default=0.0)


def _drawn(series: Series, x: Axis, y: Axis) -> DrawnSeries:
    places = [(x.place(a), y.place(min(max(b, y.low), y.high))) for a, b in zip(series.x, series.y, strict=True)]
    read = places if series.own is None else [(a, y.place(b)) for (a, _), b in zip(places, series.own, strict=True)]
    points = " ".join(f"{_short(a)},{_short(b)}" for a, b in read)
    path = ""
    if series.look == "bars":
        half = (x.place(_bar_width([series]) / 2) - x.place(0.0)) * 0.94 or 8.0
        path = "".join(f"M{_short(a - half)} {_short(y.start)}V{_short(b)}H{_short(a + half)}V{_short(y.start)}Z"
                       for a, b in places if y.start - b > 0.01)
    elif series.look == "dots":
        path = "".join(f"M{_short(a)} {_short(b)}h0" for a, b in places)
    return DrawnSeries(name=series.name, look=series.look, colour=series.colour, points=points, path=path)


def _inside(guide: Guide, x: Axis, y: Axis) -> bool:
    axis = x if guide.axis == "x" else y
    return bool(axis.low <= guide.value <= axis.high)


def _guide(guide: Guide, x: Axis, y: Axis) -> DrawnGuide:
    if guide.axis == "x":
        at = x.place(guide.value)
        return DrawnGuide(x1=at, y1=_TOP, x2=at, y2=HEIGHT - _BOTTOM, text=guide.text)
    at = y.place(guide.value)
    return DrawnGuide(x1=_LEFT, y1=at, x2=WIDTH - _RIGHT, y2=at, text=guide.text)


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
