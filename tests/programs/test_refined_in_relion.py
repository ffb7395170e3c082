"""RELION 3.1 takes what our Polish, CtfRefine and Subtract write into its own next jobs, and ours take RELION's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from polish_project import BOX, PIXEL, nothing
from test_polish import project, shiny  # noqa: F401 - fixtures

from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star
from cryosnake.jobs.options import CtfRefineOptions, PolishOptions, Refine3DOptions, SubtractOptions
from cryosnake.numerics.filters import low_pass
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.programs.ctfrefine import ctfrefine
from cryosnake.programs.polish import polish
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.subtract import subtract

Run = Callable[[str, str, str], Path]
OURS, THEIRS = "Polish/job010/shiny.star", "Theirs/polished/shiny.star"
LENS = {"rlnBeamTiltX", "rlnBeamTiltY", "rlnOddZernike", "rlnEvenZernike"}
SCALED = LENS | {f"rlnMagMat{place}" for place in ("00", "01", "10", "11")}


@pytest.fixture(autouse=True)
def there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def run(relion: Path) -> Run:
    """Run a program of RELION: its name, its folder below Theirs/, its words."""

    def called(program: str, out: str, words: str) -> Path:
        folder = Path("Theirs") / out
        folder.mkdir(parents=True, exist_ok=True)
        end = f"{folder}/run" if program == "refine" else f"{folder}/"
        command = [relion / f"relion_{program}", *words.split(), "--o", end]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return folder

    return called


def refined(run: Run, out: str, star: str) -> dict[str, Any]:
    """An iteration of relion_refine at known orientations, to 20 Å: its tables. The map must look like the particle."""
    folder = run("refine", out, f"--i {star} --ref truth/map.mrc --ini_high 20 --iter 1 --K 1 --sym D2 --tau2_fudge 4 "
                 "--ctf --skip_align --particle_diameter 160 --flatten_solvent --zero_mask --norm --scale --pad 1")
    maps = (folder / "run_it001_class001.mrc", "truth/map.mrc")
    found, truth = (low_pass(read_mrc(path)[0], 20.0, PIXEL) for path in maps)
    inside = soft_disc(BOX, 38.0, 2.0, dimensions=3) > 0.5
    assert np.corrcoef(found[inside], truth[inside])[0, 1] > 0.8
    tables = read_star(folder / "run_it001_data.star")
    assert tables["particles"]["rlnImageName"].tolist() == read_star(star)["particles"]["rlnImageName"].tolist()
    return tables


def numbers(tables: dict[str, Any], label: str) -> list[float]:
    """A column of the optics table; RELION writes six digits."""
    return [float(number) for number in str(tables["optics"][label].iloc[0]).strip("[]").split(",")]


@pytest.fixture(scope="module")
def lens(shiny: Path) -> Path:  # noqa: F811
    """Our CtfRefine of our polished particles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shiny.parent.parent)
        Path("CtfRefine/job020").mkdir(parents=True)
        ctfrefine.run(CtfRefineOptions(rounds=1), {"particles": OURS, "postprocess": "postprocess.star"},
                      "CtfRefine/job020", nothing)
    return Path("CtfRefine/job020/particles_ctf_refine.star")


def test_relion_refines_what_we_have_polished(run: Run, shiny: Path) -> None:  # noqa: F811
    tables = refined(run, "from_polish", OURS)
    assert "rlnCtfDataAreCtfPremultiplied" in tables["optics"]


def test_relion_goes_on_from_our_ctfrefine(run: Run, lens: Path) -> None:
    """Refinement, polishing and its own CtfRefine; what we have fitted stays in its tables."""
    before = read_star(lens)
    assert SCALED <= set(before["optics"])
    assert SCALED <= set(refined(run, "from_lens", str(lens))["optics"])
    polished = run("motion_refine", "polished_lens", f"--i {lens} --f postprocess.star --corr_mic "
                   "corrected_micrographs.star --s_vel 0.2 --s_div 5000 --s_acc 2 --combine_frames")
    after = read_star(polished / "shiny.star")
    folder = run("ctf_refine", "lens_again", f"--i {lens} --f postprocess.star --fit_defocus --kmin_defocus 30 "
                 "--fit_mode fpmff")
    again = read_star(folder / "particles_ctf_refine.star")
    for found in (after, again):
        assert len(found["particles"]) == len(before["particles"])
        assert set(before["particles"]) <= set(found["particles"])
        for label in SCALED:
            assert numbers(found, label) == pytest.approx(numbers(before, label), rel=1e-5, abs=1e-5), label
    defocus = [tables["particles"]["rlnDefocusU"].to_numpy(float) for tables in (before, again)]
    assert np.median(np.abs(defocus[1] - defocus[0])) < 600.0  # Å: it sees the same lens


def test_we_go_on_from_relions_ctfrefine_and_polish(run: Run, shiny: Path) -> None:  # noqa: F811
    """Their columns stay, and ours are the same ones."""
    star = OURS
    for number, fit in enumerate(("--fit_beamtilt --kmin_tilt 30 --odd_aberr_max_n 3 --fit_aberr --kmin_aberr 30",
                                  "--fit_aniso --kmin_mag 30")):
        folder = run("ctf_refine", f"lens{number}", f"--i {star} --f postprocess.star {fit}")
        star = f"{folder}/particles_ctf_refine.star"
    theirs = read_star(star)
    Path("Ours/polished").mkdir(parents=True)
    polish.run(PolishOptions(), {"particles": star, "postprocess": "postprocess.star",
                                 "micrographs": "corrected_micrographs.star"}, "Ours/polished", nothing)
    ours = read_star("Ours/polished/shiny.star")
    for label in SCALED:
        assert numbers(ours, label) == pytest.approx(numbers(theirs, label), rel=1e-5, abs=1e-5), label
    assert list(ours["particles"]) == list(theirs["particles"])

    run("motion_refine", "polished", "--i particles.star --f postprocess.star --corr_mic corrected_micrographs.star "
        "--s_vel 0.2 --s_div 5000 --s_acc 2 --combine_frames")
    Path("Ours/lens").mkdir(parents=True)
    ctfrefine.run(CtfRefineOptions(rounds=1), {"particles": THEIRS, "postprocess": "postprocess.star"}, "Ours/lens",
                  nothing)
    lens, before = read_star("Ours/lens/particles_ctf_refine.star"), read_star(THEIRS)
    assert set(lens["optics"]) == set(before["optics"]) | set(theirs["optics"])
    assert list(lens["particles"]) == list(before["particles"]) and len(lens["particles"]) == len(before["particles"])
    assert abs(lens["optics"]["rlnMagMat00"].astype(float).iloc[0] - 1.0) < 0.02


def test_each_takes_what_the_other_has_subtracted(run: Run, shiny: Path) -> None:  # noqa: F811
    """From one refinement of ours: RELION refines what we leave, and we refine what RELION leaves."""
    Path("Refine3D/job030").mkdir(parents=True)
    options = Refine3DOptions(symmetry="D2", particle_diameter=160.0, initial_lowpass=20.0, sampling="1.8 degrees",
                              max_iterations=1, pictures=False)
    refine3d.run(options, {"particles": OURS, "reference": "truth/map.mrc"}, "Refine3D/job030", nothing)
    half = read_mrc("mask.mrc")[0] * (np.arange(BOX) > BOX // 2)
    write_mrc("half.mrc", half.astype(np.float32), PIXEL)
    optimiser = "Refine3D/job030/run_optimiser.star"
    Path("Subtract/job031").mkdir(parents=True)
    subtract.run(SubtractOptions(), {"optimiser": optimiser, "mask": "half.mrc"}, "Subtract/job031", nothing)
    star = "Subtract/job031/particles_subtracted.star"
    run("refine", "from_subtract", f"--i {star} --ref truth/map.mrc --ini_high 20 --iter 1 --K 1 --tau2_fudge 4 --ctf "
        "--skip_align --particle_diameter 160 --norm --scale --pad 1")
    theirs = run("particle_subtract", "subtracted", f"--i {optimiser} --mask half.mrc")
    ours, other = read_star(star), read_star(theirs / "particles_subtracted.star")
    assert set(ours["particles"]) == set(other["particles"]) and set(ours["optics"]) == set(other["optics"])
    Path("Refine3D/job032").mkdir(parents=True)
    refine3d.run(options, {"particles": str(theirs / "particles_subtracted.star"), "reference": "truth/map.mrc"},
                 "Refine3D/job032", nothing)
    assert len(read_star("Refine3D/job032/run_data.star")["particles"]) == len(ours["particles"])
