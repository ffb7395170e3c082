"""RELION 3.1.3 as a client of our STAR and MRC files, and we of its."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryosnake.io.movies import write_movie_tiff
from cryosnake.io.mrc import read_images, write_mrc
from cryosnake.io.paths import micrograph_root, post_name
from cryosnake.io.star import read_star, write_star

pytestmark = pytest.mark.relion
OPTICS = pd.DataFrame({
    "rlnOpticsGroupName": ["first group"], "rlnOpticsGroup": [1], "rlnMicrographOriginalPixelSize": [1.0],
    "rlnMicrographPixelSize": [1.0], "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7],
    "rlnAmplitudeContrast": [0.1], "rlnImagePixelSize": [1.5], "rlnImageSize": [16], "rlnImageDimensionality": [2],
})


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, timeout=100,
                          capture_output=True, check=True)
    return done.stdout


def particles(count: int, stack: str = "Extract/job005/Movies/a.mrcs") -> pd.DataFrame:
    rng = np.random.default_rng(count)
    return pd.DataFrame({
        "rlnImageName": [f"{i + 1:06d}@{stack}" for i in range(count)],
        "rlnMicrographName": ["Movies/with blank.mrc"] * count,
        "rlnOpticsGroup": np.ones(count, int),
        "rlnDefocusU": rng.uniform(-3, 3, count) * 10.0 ** rng.integers(-6, 6, count),
        "rlnAngleRot": rng.uniform(-180, 180, count),
        "rlnClassNumber": rng.integers(1, 5, count),
        "rlnIsFlip": rng.random(count) < 0.5,
        "rlnGroupName": [""] * count,
        "csUid": rng.integers(2**62, 2**64 - 1, count, dtype=np.uint64),
    })


def test_printtable(relion: Path, tmp_path: Path) -> None:
    table = particles(20).drop(columns="rlnMicrographName")  # the program, a script, counts blanks, not quotes
    write_star(tmp_path / "p.star", {"optics": OPTICS, "particles": table})
    printed = run(tmp_path, "relion_star_printtable", "p.star", "data_particles", "rlnImageName", "rlnClassNumber")
    assert [line.split() for line in printed.splitlines()] == [
        [name, str(number)] for name, number in zip(table["rlnImageName"], table["rlnClassNumber"], strict=True)
    ]


def test_star_handler_gives_back_what_we_wrote(relion: Path, tmp_path: Path) -> None:
    table = particles(50)
    write_star(tmp_path / "p.star", {"optics": OPTICS, "particles": table})
    run(tmp_path, "relion_star_handler", "--i", "p.star", "--o", "q.star", "--select", "rlnClassNumber", "--minval",
        "2", "--maxval", "3")
    back = read_star(tmp_path / "q.star")
    kept = table[table["rlnClassNumber"].between(2, 3)].reset_index(drop=True)
    assert len(back["particles"]) == len(kept) > 0
    for label in kept.columns:
        if label in ("rlnDefocusU", "rlnAngleRot"):
            # six digits, of which RELION spends one on the sign
            np.testing.assert_allclose(back["particles"][label], kept[label], rtol=6e-6, atol=6e-6)
        else:
            assert back["particles"][label].tolist() == kept[label].tolist()
    pd.testing.assert_frame_equal(back["optics"], OPTICS)


def test_star_handler_combines_ours(relion: Path, tmp_path: Path) -> None:
    first, second = particles(30), particles(20, "Extract/job005/Movies/b.mrcs")
    for name, table in (("a.star", first), ("b.star", second)):
        write_star(tmp_path / name, {"optics": OPTICS, "particles": table})
    run(tmp_path, "relion_star_handler", "--combine", "--i", "a.star b.star", "--check_duplicates", "rlnImageName",
        "--o", "ab.star")
    back = read_star(tmp_path / "ab.star")["particles"]
    assert back["rlnImageName"].tolist() == [*first["rlnImageName"], *second["rlnImageName"]]
    assert back["csUid"].tolist() == [*first["csUid"], *second["csUid"]]


@pytest.mark.parametrize(("name", "stack"), [("a.mrc", False), ("a.mrcs", True)])
def test_statistics_of_our_images(relion: Path, tmp_path: Path, name: str, stack: bool) -> None:
    data = np.random.default_rng(1).normal(3, 2, (5, 12, 16)).astype(np.float32)
    write_mrc(tmp_path / name, data, 1.37, stack=stack)
    printed = run(tmp_path, "relion_image_handler", "--i", name, "--stats")
    lines = [line for line in printed.splitlines() if "avg=" in line]
    expected = data if stack else data[None]
    assert len(lines) == len(expected)
    for line, image in zip(lines, expected, strict=True):
        assert ("16 x 12 x 1 x 1" if stack else "16 x 12 x 5 x 1") in line
        values = [float(re.search(rf"{key}\s*=\s*(\S+?);?(\s|$)", line)[1])  # type: ignore[index]
                  for key in ("avg", "stddev", "minval", "maxval", "angpix")]
        # printed with six digits
        np.testing.assert_allclose(values, [image.mean(), image.std(), image.min(), image.max(), 1.37], rtol=2e-5)


def test_we_read_what_relion_writes(relion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(2).normal(size=(4, 12, 12)).astype(np.float32)
    write_mrc(tmp_path / "a.mrcs", data, 2.0, stack=True)
    run(tmp_path, "relion_image_handler", "--i", "a.mrcs", "--o", "b.mrcs", "--multiply_constant", "-2")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(read_images(["3@b.mrcs", "1@b.mrcs"]), -2 * data[[2, 0]])


@pytest.mark.parametrize("name", ["Movies/a.tif", "Mov.v1/a.0.tif", "Movies/job12/a.tif"])
def test_names_of_motion_correction(relion: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    write_movie_tiff(tmp_path / name, np.random.default_rng(3).poisson(50, (3, 64, 64)).astype(np.uint8))
    movies = pd.DataFrame({"rlnMicrographMovieName": [name], "rlnOpticsGroup": [1]})
    write_star(tmp_path / "movies.star", {"optics": OPTICS, "movies": movies})
    (tmp_path / "MotionCorr/job002").mkdir(parents=True)
    run(tmp_path, "relion_run_motioncorr", "--use_own", "--i", "movies.star", "--o", "MotionCorr/job002/",
        "--dose_per_frame", "1")
    root = micrograph_root("MotionCorr/job002", name)
    assert (tmp_path / f"{root}.mrc").exists() and (tmp_path / f"{root}.star").exists()


def test_names_of_extraction(relion: Path, tmp_path: Path) -> None:
    names = ["MotionCorr/job002/Movies/a.mrc", "MotionCorr/job002/Mov.v1/b.0.mrc", "Movies/c.mrc", "Movies/job12/d.mrc",
             "MotionCorr/job1002/Movies/job123/e.mrc", "job123/f.mrc", "Movies/job123/g.mrc"]
    rng = np.random.default_rng(4)
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_mrc(tmp_path / name, rng.normal(size=(64, 64)), 1.0)
        picks = tmp_path / f"{micrograph_root('AutoPick/job004', name)}_autopick.star"
        picks.parent.mkdir(parents=True, exist_ok=True)
        write_star(picks, {"": pd.DataFrame({"rlnCoordinateX": [32.0], "rlnCoordinateY": [32.0]})})
    micrographs = pd.DataFrame({"rlnMicrographName": names, "rlnOpticsGroup": 1})
    write_star(tmp_path / "mics.star", {"optics": OPTICS.iloc[:, :7], "micrographs": micrographs})
    run(tmp_path, "relion_preprocess", "--i", "mics.star", "--coord_dir", "AutoPick/job004/", "--coord_suffix",
        "_autopick.star", "--part_star", "Extract/job005/particles.star", "--part_dir", "Extract/job005/", "--extract",
        "--extract_size", "32")
    made = read_star(tmp_path / "Extract/job005/particles.star")["particles"]["rlnImageName"]
    assert sorted(made) == sorted(f"000001@{micrograph_root('Extract/job005', name)}.mrcs" for name in names)
    assert post_name(names[4]) == "Movies/job123/e.mrc"
