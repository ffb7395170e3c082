"""The CTF panels draw what they are given."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryosnake.numerics.ctf_fit import CtfFit, Defocus

pytest.importorskip("matplotlib")

from cryosnake.report.panels.ctf import ctf_fit_panel, ctf_overview
from cryosnake.report.panels.figures import save


def test_fit_panel(tmp_path: Path) -> None:
    frequency = np.linspace(0.03, 0.35, 200)
    rings = np.sin(900.0 * frequency**2) ** 2
    fit = CtfFit(Defocus(12000.0, 11000.0, 30.0, 45.0), 0.1, 4.0, 0.02, frequency, rings - 0.5, rings,
                 np.ones(200))
    figure = ctf_fit_panel(np.random.default_rng(0).random((64, 64)), fit)
    caption = figure.axes[1].get_title(loc="left")
    assert "12000 / 11000 Å at 30°, phase shift 45°" in caption
    assert figure.axes[1].lines[-1].get_xdata()[0] == pytest.approx(0.25)
    save(figure, tmp_path / "fit.png")
    assert (tmp_path / "fit.png").stat().st_size > 10_000


@pytest.mark.parametrize("rows", [1, 300])
def test_overview(rows: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"rlnDefocusU": rng.uniform(8e3, 2e4, rows), "rlnCtfMaxResolution": rng.uniform(3, 6, rows),
                          "rlnCtfFigureOfMerit": rng.uniform(0.05, 0.2, rows)})
    table["rlnDefocusV"] = table["rlnDefocusU"] - 300.0
    figure = ctf_overview(table)
    for axes in figure.axes:
        assert sum(patch.get_height() for patch in axes.patches) == rows
    save(figure, tmp_path / "overview.png")
