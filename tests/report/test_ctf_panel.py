"""The CTF panels draw what they are given."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from cryosnake.programs.micrographs.ctf_gate import found
from cryosnake.report.panels.ctf import ctf_overview, rejected_values
from cryosnake.report.panels.figures import save


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


def test_what_the_gate_left_out_is_drawn_and_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"rlnDefocusU": rng.uniform(8e3, 2e4, 20), "rlnCtfMaxResolution": rng.uniform(3, 6, 20),
                          "rlnCtfFigureOfMerit": rng.uniform(0.05, 0.2, 20)})
    table["rlnDefocusV"] = table["rlnDefocusU"] - 300.0
    wrong = {"rlnDefocusU": 41000.0, "rlnDefocusV": 40000.0, "rlnCtfMaxResolution": 25.0, "rlnCtfFigureOfMerit": 0.007}
    reasons = [f"CTF fit of a.mrc: figure of merit 0.007 is below 0.03 {found(wrong)}", "b.mrc does not exist"]
    np.testing.assert_allclose(rejected_values(reasons), [[40500.0, 25.0, 1000.0, 0.007]])
    figure = ctf_overview(table, reasons)
    assert "20 micrographs, 2 left out" in figure.get_suptitle()
    for axes in figure.axes:
        assert sum(patch.get_height() for patch in axes.patches) == 21
    save(figure, tmp_path / "overview.png")
