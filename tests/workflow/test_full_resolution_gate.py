"""benchmarks/full_resolution.py with six movies: CtfRefine, Polish and Subtract beside RELION, from known movies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from small_project import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, relion: Path) -> dict[str, dict[str, float]]:
    """Figures of each step: 140 particles, 128 pixels of 2 Å."""
    folder = tmp_path_factory.mktemp("gate")
    command = [sys.executable, str(ROOT / "benchmarks/full_resolution.py"), "--folder", str(folder), "--movies", "6",
               "--pixel_size", "2", "--iterations", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return {path.stem: json.loads(path.read_text()) for path in (folder / "steps").glob("*.json")
            if path.stem != "usage"}


def test_ctfrefine_comes_nearer_the_lens(steps: dict[str, dict[str, float]]) -> None:
    """Than the particles were, and in phases than RELION; for more than that these are too few particles."""
    before, ours, theirs = (steps[name] for name in ("before_ctf", "ctf_ours", "ctf_relion"))
    for kind in ("odd phase", "even phase"):
        assert ours[kind] < 0.8 * before[kind] and ours[kind] < 1.1 * theirs[kind], kind
    assert ours["magnification"] < 0.7 * before["magnification"]
    assert ours["defocus spread, Å"] < 0.8 * before["defocus spread, Å"]
    gain = [steps[f"postprocess_{name}"]["mean FSC with the truth"] for name in ("first", "ctf_ours", "ctf_relion")]
    assert gain[1] > gain[0] + 0.005 and gain[1] > gain[2] - 0.005


def test_polish_follows_the_particles(steps: dict[str, dict[str, float]]) -> None:
    before, ours, theirs = (steps[name]["tracks, Å"] for name in ("before_polish", "polish_ours", "polish_relion"))
    assert ours < 0.6 * before and ours < theirs
    gain = [steps[f"postprocess_{name}"]["mean FSC with the truth"] for name in (
        "ctf_ours", "polish_ours", "polish_relion")]
    assert gain[1] > gain[0] + 0.01 and gain[1] > gain[2] - 0.005


def test_no_more_is_left_by_subtract_than_by_relions(steps: dict[str, dict[str, float]]) -> None:
    assert steps["subtract_ours"]["subtraction residual"] < min(0.8, steps["subtract_relion"]["subtraction residual"])


def test_what_relion_says_of_our_half_maps_is_what_we_say(steps: dict[str, dict[str, float]]) -> None:
    for name in ("first", "ctf_ours", "polish_ours"):
        ours, theirs = (steps[f"postprocess_{name}{ending}"]["FSC 0.143, Å"] for ending in ("", "_relion"))
        assert ours == pytest.approx(theirs, rel=0.08)
