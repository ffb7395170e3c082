"""Polish on simulated movies whose motion is known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from polish_project import (
    FRAMES,
    PIXEL,
    STEMS,
    coordinates,
    make_project,
    nothing,
    run,
    tracks_of,
    true_tracks,
)

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_images, read_mrc
from cryosnake.io.mrc_header import read_header
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import PolishOptions
from cryosnake.programs.polish import polish
from cryosnake.programs.polish.motion_metadata import read_motion
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.subtract.images import subtrahend
from cryosnake.programs.subtract.references import References


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("polish")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_project()
    return folder


@pytest.fixture(autouse=True)
def there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def shiny(project: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        run("Polish/job010")
    return project / "Polish/job010"


def test_tracks_are_near_the_truth(shiny: Path) -> None:
    """Much nearer than the motion of the whole frames, which was recorded."""
    found = read_star(shiny / "shiny.star")["particles"]
    before, after = [], []
    for stem in ("movie_0001", "movie_0002"):
        mine = found[[stem in name for name in found["rlnMicrographName"]]]
        places = mine[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float)
        true, tracks = true_tracks(stem, places), tracks_of(shiny / f"Movies/{stem}_tracks.star")
        whole = read_motion(f"MotionCorr/job002/Movies/{stem}.star").displacements(np.arange(1, FRAMES + 1), places)
        before.append(whole * PIXEL - true)
        after.append(tracks - true)
    wrong = [float(np.sqrt((np.concatenate(part) ** 2).sum(-1).mean())) for part in (before, after)]
    assert wrong[1] < 0.5 * wrong[0] and wrong[1] < 1.5, wrong


def test_polished_images_are_nearer_the_particles(shiny: Path) -> None:
    """Than sums along the motion of the whole frames; their noise has a standard deviation of 1."""
    still = run("Still/job001", velocity=0.001)
    found = read_star(shiny / "shiny.star")
    density, particles = read_mrc("truth/map.mrc")[0], read_particles(str(shiny / "shiny.star"))
    taken = subtrahend(particles, References(
        maps=((density,),), pixel_size=PIXEL, scales=({},), norms=(1.0,), ctf=True, intact_first_peak=False,
        particles="", words=""), np.zeros_like(density), "cpu")
    true = taken.predictions(particles.groups[0], np.arange(len(particles)))
    alike = [[np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in
              zip(read_images(tables["particles"]["rlnImageName"].tolist()), true, strict=True)]
             for tables in (still, found)]
    assert np.mean(alike[1]) > 1.05 * np.mean(alike[0]) > 0
    images = read_images(found["particles"]["rlnImageName"].tolist())
    assert images[:, :8].std() == pytest.approx(1.0, abs=0.1)


def test_columns_and_sizes_are_relions(shiny: Path, relion: Path) -> None:
    ours, theirs = (read_star(folder / "shiny.star") for folder in (shiny, their_polish()))
    before = read_star("particles.star")["particles"]
    for block in ("optics", "particles"):
        assert set(ours[block]) == set(theirs[block])
    pd.testing.assert_frame_equal(ours["particles"].drop(columns="rlnImageName"), before.drop(columns="rlnImageName"))
    assert ours["particles"]["rlnImageName"][0] == "1@Polish/job010/Movies/movie_0001_shiny.mrcs"


def test_tracks_are_no_worse_than_relions(shiny: Path, relion: Path) -> None:
    errors = [np.concatenate([tracks_of(folder / f"Movies/{stem}_tracks.star") - true_tracks(stem, coordinates(stem))
                              for stem in STEMS]) for folder in (shiny, their_polish())]
    ours, relions = (float(np.sqrt((error**2).sum(-1).mean())) for error in errors)
    assert ours <= relions, (ours, relions)


def their_polish() -> Path:
    """Polish with RELION, once."""
    if not Path("Theirs/shiny.star").exists():
        words = ["--i", "particles.star", "--f", "postprocess.star", "--corr_mic", "corrected_micrographs.star", "--o",
                 "Theirs/", "--s_vel", "0.2", "--s_div", "5000", "--s_acc", "2", "--combine_frames", "--bfac_minfreq",
                 "20"]
        Path("Theirs").mkdir()
        subprocess.run(["relion_motion_refine", *words], check=True, capture_output=True, timeout=100)
    return Path("Theirs")


def test_the_pixel_size_is_exact(project: Path) -> None:
    optics = run("Small/job001", extract_size=100, rescale=64)["optics"]
    assert optics["rlnImagePixelSize"].tolist() == [pytest.approx(100 * PIXEL / 64, abs=1e-6)]
    assert optics["rlnImageSize"].tolist() == [64]
    assert read_header("Small/job001/Movies/movie_0002_shiny.mrcs").nx == 64


def test_only_what_has_changed_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """New movies, and movies with another pose; images are those of a job that computes all."""
    computed: list[str] = []
    real = polish.find_motion
    monkeypatch.setattr(polish, "find_motion", lambda particles, movie, *more: (
        computed.append(movie.name), real(particles, movie, *more))[1])
    tables, found = read_star("particles.star"), []
    turned = tables["particles"].copy()
    turned.loc[0, "rlnAngleRot"] += 1.0
    for number, rows in enumerate((tables["particles"].iloc[: len(coordinates())], tables["particles"],
                                   tables["particles"], turned), 1):
        write_star("some.star", {**tables, "particles": rows})
        computed.clear()
        run(f"Again/job00{number}", "some.star")
        found.append(list(computed))
    assert found == [["Movies/movie_0001"], ["Movies/movie_0002"], [], ["Movies/movie_0001"]]
    images = [Path(f"Again/job00{number}/Movies/movie_0002_shiny.mrcs").read_bytes() for number in (2, 3)]
    assert images[0] == images[1]


def test_one_particle_keeps_the_recorded_motion() -> None:
    tables = read_star("particles.star")
    write_star("one.star", {**tables, "particles": tables["particles"].drop(index=range(1, len(coordinates())))})
    run("One/job001", "one.star")
    place = coordinates()[:1]
    recorded = read_motion("MotionCorr/job002/Movies/movie_0001.star").displacements(np.arange(1, FRAMES + 1), place)
    assert tracks_of(Path("One/job001/Movies/movie_0001_tracks.star")) == pytest.approx(recorded * PIXEL, abs=1e-5)


@pytest.mark.parametrize(("change", "said"), [
    ("unlisted", "does not list"), ("metadata gone", "does not exist"), ("movie gone", "movie .* does not exist"),
    ("another program", "data_global_shift"), ("frames", "Change first_frame or last_frame"),
    ("no metadata", "no rlnMicrographMetadata"),
])
def test_what_cannot_be_polished_is_refused(tmp_path: Path, change: str, said: str) -> None:
    tables, path = read_star("corrected_micrographs.star"), tmp_path / "mics.star"
    rows, first = tables["micrographs"].copy(), str(tables["micrographs"]["rlnMicrographMetadata"][0])
    motion = read_star(first)
    if change == "unlisted":
        rows = rows.iloc[1:]
    elif change == "no metadata":
        rows = rows.drop(columns="rlnMicrographMetadata")
    elif change == "metadata gone":
        rows.loc[0, "rlnMicrographMetadata"] = "gone.star"
    elif change != "frames":
        general = motion["general"].iloc[0].to_dict()
        if change == "movie gone":
            general["rlnMicrographMovieName"] = "Movies/gone.tiff"
        write_star(tmp_path / "motion.star", {"general": general} | (
            {"global_shift": motion["global_shift"]} if change == "movie gone" else {}))
        rows.loc[0, "rlnMicrographMetadata"] = str(tmp_path / "motion.star")
    write_star(path, {**tables, "micrographs": rows})
    with pytest.raises(CryosnakeError, match=said):
        polish.run(PolishOptions(last_frame=FRAMES + 5 if change == "frames" else -1), {
            "particles": "particles.star", "postprocess": "postprocess.star", "micrographs": path}, tmp_path / "out",
            nothing)
    assert not (tmp_path / "out").exists()
