"""The CTF panels draw what they are given."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from cryosnake.report.panels.ctf import ctf_overview
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
