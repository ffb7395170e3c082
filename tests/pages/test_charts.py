"""Charts as data: what the page reads back from the points is what was put in."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryosnake.pages.blocks.charts import Chart, Series, chart, course, histogram
from cryosnake.pages.blocks.scales import Axis
from cryosnake.pages.document import static_text


def read_back(drawn: Chart, number: int = 0) -> np.ndarray:
    """Return x and y (n, 2) of a series as the page's script computes them from the drawing."""
    points = np.array([pair.split(",") for pair in drawn.series[number].points.split()], float)
    return np.stack([value(points[:, column], axis) for column, axis in enumerate((drawn.x, drawn.y))], 1)


def value(px: np.ndarray, axis: Axis) -> np.ndarray:
    low, high, start, end = map(float, axis.data.split())
    return low + (px - start) / (end - start) * (high - low)


def test_values_are_read_back_from_the_drawing() -> None:
    x, y = np.linspace(0.01, 0.25, 40), np.cos(np.linspace(0, 3, 40))
    drawn = chart("FSC", ("resolution, Å", "FSC"), [Series(name="a", x=x, y=y)], x_kind="resolution")
    assert read_back(drawn) == pytest.approx(np.stack([x, y], 1), abs=1e-4)
    assert [text for _, text in drawn.x_ticks][-1] == "4"


def test_stacked_bars_say_their_own_counts() -> None:
    kept, lost = np.repeat([1.0, 2.0, 3.0], [6, 5, 4]), np.array([3.0, 3.0])
    drawn = histogram("fits", "Å", [("kept", kept, 0), ("left out", lost, 3)])
    counts = {series.name: read_back(drawn, number)[:, 1] for number, series in enumerate(drawn.series)}
    assert counts["left out"].round(2).tolist()[-1] == 2.0 and counts["left out"].sum() == pytest.approx(2, abs=0.1)
    assert counts["kept"].sum() == pytest.approx(15, abs=0.1)
    assert drawn.y.high >= 6 and all(float(text.replace("−", "-")).is_integer() for _, text in drawn.y_ticks)


@pytest.mark.parametrize("values", [np.full(12, 75.0), np.zeros(3), np.array([np.nan]), np.array([]),
                                    np.array([1e-9, 1e9])])
def test_odd_values_are_drawn(values: np.ndarray) -> None:
    for drawn in (histogram("odd", "x", [("", values, 0)]), course("odd", "y", values)):
        for series in drawn.series:
            assert "nan" not in series.points + series.path and "inf" not in series.points + series.path
        assert drawn.x.high > drawn.x.low and drawn.y.high > drawn.y.low


def test_a_long_course_is_drawn_by_medians() -> None:
    drawn = course("motion", "Å", np.r_[np.ones(20000), 5.0, np.ones(19999)])
    assert len(drawn.series[0].points.split()) == 150 and "median of 267" in drawn.x_label
    assert len(drawn.series[0].path) < 4000


def test_series_differ_in_form_besides_colour() -> None:
    """What the style gives each look and number is another one, colours left out."""
    style = static_text("page.css").partition("@media print")[0]
    forms: dict[str, dict[str, str]] = {"line": {}, "dots": {}, "bars": {}}
    for look, number, rules in re.findall(r"\.(line|dots|bars)\.c(\d)\{([^}]*)\}", style):
        kept = [rule for rule in rules.split(";") if not rule.startswith(("stroke:", "fill:var"))]
        assert ";".join(kept) not in forms[look].values(), (look, number)
        forms[look][number] = ";".join(kept)
    assert {look: "".join(sorted(numbers)) for look, numbers in forms.items()} == {
        "line": "01234", "dots": "013", "bars": "013"}  # those that panels use
