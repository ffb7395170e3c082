"""Pictures of iterations: what they show, and that they take no more than their share of the time."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cryosnake.programs.refinement.iteration_pictures import Pictures, views
from cryosnake.report.panels.iteration import class_picture, map_picture


@pytest.fixture
def maps():
    axis = np.arange(24) - 12
    ball = np.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + (axis - 3) ** 2) / 30.0)
    return [ball, ball[::-1]]


def test_a_picture_of_maps_has_slices_curve_and_views(maps):
    frequency = np.arange(13) / 48.0
    figure = map_picture(maps, ["1: 60%", "2: 40%"], 2.0, "iteration 7", fsc=(frequency, np.linspace(1, 0, 13)),
                         directions=views(np.eye(3)[None], "D2"))
    sheet, curve, seen = figure.axes
    image = sheet.images[0].get_array()
    assert image.shape == (72, 48) and image.max() == 1.0
    middle = image[-24:, :24]  # slice XY of map 1, at the top; the density lies to the right of the centre
    assert middle[:, 12:].sum() > 1.5 * middle[:, :12].sum()
    assert {"1: 60%", "2: 40%"} <= {text.get_text() for text in sheet.texts}
    np.testing.assert_allclose(curve.lines[1].get_ydata(), np.linspace(1, 0, 13)[1:])
    assert seen.images[0].get_array().sum() > 0


def test_a_picture_of_classes_leaves_out_empty_ones():
    averages = np.random.default_rng(1).normal(size=(14, 16, 16))
    counts = np.arange(14)
    figure = class_picture(averages, counts, np.full(14, 9.0), "iteration 3")
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert len(labels) == 13 and labels[0].startswith("14: 13 ")
    assert figure.axes[0].images[0].get_array().shape == (32, 160)


def test_every_equivalent_view_counts():
    seen = views(np.eye(3)[None].repeat(3, 0), "D2")
    assert len(seen) == 12 and {tuple(np.rint(v).astype(int)) for v in seen} == {(0, 0, 1), (0, 0, -1)}


def test_pictures_take_a_fiftieth_of_the_time_and_the_last_is_drawn(tmp_path, maps):
    def figure():
        return map_picture(maps, ["", ""], 2.0, "")

    early = Pictures(True)
    early.draw(str(tmp_path / "early.png"), figure)
    assert not (tmp_path / "early.png").exists()
    late = Pictures(True, begun=time.monotonic() - 1000.0)
    late.draw(str(tmp_path / "late.png"), figure)
    assert (tmp_path / "late.png").stat().st_size > 1000 and late.spent == late.last > 0
    late.spent = 21.0
    late.draw(str(tmp_path / "much.png"), figure)
    assert not (tmp_path / "much.png").exists()
    late.draw(str(tmp_path / "last.png"), figure, final=True)
    assert (tmp_path / "last.png").exists()
    Pictures(False).draw(str(tmp_path / "off.png"), figure, final=True)
    assert not (tmp_path / "off.png").exists()


def test_a_picture_that_fails_stops_nothing(tmp_path, capsys):
    def broken():
        raise ValueError("odd")

    Pictures(True).draw(str(tmp_path / "a.png"), broken, final=True)
    assert "no picture" in capsys.readouterr().out and not list(tmp_path.iterdir())
