"""How Polish works: ranks, GPUs, training, pictures. What they give is what one process on a CPU gives."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from polish_project import make_project, run, tracks_of

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_images
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.after_refinement.polish import JOB
from cryosnake.jobs.options import PolishOptions
from cryosnake.numerics.backend import to_numpy
from cryosnake.numerics.polish.prior import MotionScales
from cryosnake.programs.ctfrefine.input_particles import read_posed
from cryosnake.programs.ctfrefine.references import read_references
from cryosnake.programs.polish import polish
from cryosnake.programs.polish.motion import compare, correlations, find_motion
from cryosnake.programs.polish.movies import movies_of
from cryosnake.programs.polish.output import write_shiny
from cryosnake.programs.polish.particles import signature
from cryosnake.programs.polish.weights import exposure_of, fit_falloffs
from cryosnake.report.job_pictures import draw_pictures

SCALES = MotionScales(velocity=0.2, divergence=5000.0, acceleration=2.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("polish")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_project()
        run("Polish/job010", device="cpu")
    return folder


@pytest.fixture(autouse=True)
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)


def test_two_ranks_give_the_same(mpirun: Any, made: Path) -> None:
    Path("Ranks/job001").mkdir(parents=True)
    done = subprocess.run([*mpirun(2), str(Path(__file__).with_name("mpi_polish.py")), "Ranks/job001"], cwd=made,
                          capture_output=True, text=True, timeout=300, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-4000:]
    one, two = (read_star(f"{job}/shiny.star")["particles"] for job in ("Polish/job010", "Ranks/job001"))
    assert [name.replace("Ranks/job001", "Polish/job010") for name in two["rlnImageName"]] == list(one["rlnImageName"])
    images = [read_images(list(table["rlnImageName"])) for table in (one, two)]
    np.testing.assert_allclose(images[0], images[1], atol=1e-3)


def test_a_gpu_gives_the_same(cupy: Any, tmp_path: Path) -> None:
    particles, found = read_posed("particles.star"), []
    for device in ("cpu", "gpu"):
        references = read_references("postprocess.star", None, device)
        movie = movies_of(particles, "corrected_micrographs.star", PolishOptions())[0]
        compared = compare(particles, movie, references)
        (images,), _ = correlations(compared, compared.boxes, compared.own, scaled=True)
        motion = find_motion(particles, movie, references, SCALES)
        places, sums = (found[0][1], found[0][2]) if found else (motion.places, motion.cross)
        falloff = fit_falloffs([movie], {0: (sums, *(np.ones_like(sums),) * 2)}, references, 20.0)[exposure_of(movie)]
        (tmp_path / device / "Movies").mkdir(parents=True)
        names = write_shiny(tmp_path / device, movie, places, falloff, references)
        found.append((to_numpy(images), motion.places, motion.cross, read_images(names)))
    for here, there, tolerance in zip(*found, (1e-3, 0.01, 1e-2 * np.abs(found[0][2]).max(), 1e-3), strict=True):
        np.testing.assert_allclose(there, here, atol=tolerance)


def test_training_is_kept_and_used(capsys: pytest.CaptureFixture[str]) -> None:
    """From a velocity that is too small by far: tracks are then nearer those of good values than without it."""
    slow = {"velocity": 0.01, "acceleration": 0.1, "device": "cpu"}
    run("Trained/job001", train=True, training_particles=10, **slow)
    found = Path("Trained/job001/opt_params_all_groups.txt").read_text()
    velocity, divergence, acceleration = map(float, found.split())
    assert f"velocity {velocity:.3g}" in capsys.readouterr().out
    assert velocity**2 / divergence > 4 * 0.01**2 / 5000.0 and acceleration > 0
    run("Slow/job001", **slow)
    good, trained, still = (np.concatenate([tracks_of(path) for path in sorted(Path(job).glob("Movies/*_tracks.star"))])
                            for job in ("Polish/job010", "Trained/job001", "Slow/job001"))
    assert np.abs(trained - good).mean() < 0.5 * np.abs(still - good).mean()
    before = Path("Trained/job001/training.npz").stat().st_mtime_ns
    run("Trained/job001", train=True, training_particles=10, **slow)
    assert Path("Trained/job001/training.npz").stat().st_mtime_ns == before


def test_the_pictures_show_tracks_and_weights(capsys: pytest.CaptureFixture[str]) -> None:
    draw_pictures(JOB.panels, Path("Polish/job010"), {})
    assert not capsys.readouterr().err
    for panel in ("tracks", "frame_weights"):
        assert imread(f"Polish/job010/{panel}.png")[..., :3].std() > 0.02


def test_movies_of_another_dose_have_weights_of_their_own() -> None:
    """Each kind has its block of bfactors.star."""
    second = Path("MotionCorr/job002/Movies/movie_0002.star")
    text = second.read_text()
    tables = read_star(second)
    try:
        general = {**tables["general"].iloc[0].to_dict(), "rlnMicrographDoseRate": 5.0}
        write_star(second, {**tables, "general": general})
        run("Doses/job001", device="cpu")
    finally:
        second.write_text(text)
    assert list(read_star("Doses/job001/bfactors.star")) == ["perframe_bfactors", "perframe_bfactors_2"]
    assert list(read_star("Polish/job010/bfactors.star")) == ["perframe_bfactors"]


def test_a_finished_movie_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where files have other times, as in a copy; its own are not even written again."""
    for path in (*Path("Movies").iterdir(), *Path(".").glob("*.mrc")):
        os.utime(path, (1, 1))
    monkeypatch.setattr(polish, "find_motion", lambda *_: pytest.fail("it was found before"))
    before = [path.stat().st_mtime_ns for path in sorted(Path("Polish/job010/Movies").glob("*_motion.npz"))]
    run("Polish/job010", device="cpu")
    assert [path.stat().st_mtime_ns for path in sorted(Path("Polish/job010/Movies").glob("*_motion.npz"))] == before
    assert len(before) == 2


def test_another_movie_under_the_name_is_polished_by_its_own_motion() -> None:
    particles, references = read_posed("particles.star"), read_references("postprocess.star")
    movie = movies_of(particles, "corrected_micrographs.star", PolishOptions())[0]
    before, file = signature(particles, movie, references, ""), Path(movie.motion.movie)
    content, times = file.read_bytes(), file.stat()
    try:
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert signature(particles, movie, references, "") != before
    finally:
        file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert signature(particles, movie, references, "") == before


def test_too_little_memory_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(CryosnakeError, match=r"takes \d\.\d GB for Movies/movie_0001.*Set memory to more"):
        run("Little/job001", memory=0.1, device="cpu")
    assert not list(Path("Little/job001").rglob("*.npz"))
