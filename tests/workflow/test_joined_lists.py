"""A list in a slot, through Snakemake: the join runs, its pipeline is RELION's, and growth is said beforehand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cryosnake.io.star import read_table, write_star
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status
from small_project import snakemake

pytestmark = pytest.mark.workflow

CONFIG = """
jobs:
  first: {type: select, particles: a.star, label: rlnDefocusU, minimum: 9000}
  good:  {type: select, particles: [first, b.star], label: rlnDefocusU, maximum: 9003}
"""


def particles(path: Path, voltage: float, count: int) -> None:
    rows = pd.DataFrame({"rlnImageName": [f"{n + 1:06d}@{path.stem}.mrcs" for n in range(count)], "rlnOpticsGroup": 1,
                         "rlnDefocusU": [9000.0 + n for n in range(count)]})
    optics = pd.DataFrame({"rlnOpticsGroupName": ["one"], "rlnOpticsGroup": [1], "rlnVoltage": [voltage],
                           "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1], "rlnImagePixelSize": [3.0],
                           "rlnImageSize": [16]})
    write_star(path, {"optics": optics, "particles": rows})


def test_a_list_runs_as_a_join_and_is_joined_anew_when_it_has_grown(tmp_path: Path) -> None:
    particles(tmp_path / "a.star", 300.0, 6)
    particles(tmp_path / "b.star", 200.0, 4)
    (tmp_path / "config.yaml").write_text(CONFIG)
    snakemake(tmp_path)
    pipeline = read_pipeline(tmp_path / "default_pipeline.star")
    assert {name: (process.alias, process.status) for name, process in pipeline.processes.items()} == {
        "Select/job001/": ("Select/first/", Status.SUCCEEDED),
        "JoinStar/job002/": ("JoinStar/good_particles/", Status.SUCCEEDED),
        "Select/job003/": ("Select/good/", Status.SUCCEEDED)}
    kept = read_table(tmp_path / "Select/job003/particles.star", "particles", ["rlnDefocusU", "rlnOpticsGroup"])
    assert kept["rlnOpticsGroup"].tolist() == [1] * 4 + [2] * 4
    log = (tmp_path / "JoinStar/job002/run.out").read_text()
    assert "its optics group one is one_2 here, for rlnVoltage is 200, and not 300" in log
    particles(tmp_path / "b.star", 200.0, 9)
    said = snakemake(tmp_path, "-n")
    assert "good_particles: JoinStar/job002 -> job004 (10 -> 15 particles)" in said
    assert "good: Select/job003 -> job005 (follows good_particles)" in said
