"""ManualPick: RELION's programs find the particles where they were picked, on micrographs of another binning too."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.coordinates.decided import Decided, decided_file, root_of, write_decided
from cryosnake.io.coordinates.lists import listed_coordinates
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import ManualPickOptions
from cryosnake.programs.micrographs import manualpick

NAMES = [f"MotionCorr/job002/Movies/{name}.mrc" for name in ("a", "b", "c")]
TRUTH = {"a": [(40, 52), (88, 30), (61, 75)], "b": [(30, 88)]}  # px, of the micrographs
OUT = Path("ManualPick/job004")
OPTICS = {"rlnOpticsGroupName": "opticsGroup1", "rlnOpticsGroup": 1, "rlnMicrographOriginalPixelSize": 1.5,
          "rlnVoltage": 200.0, "rlnSphericalAberration": 1.4, "rlnAmplitudeContrast": 0.1,
          "rlnMicrographPixelSize": 3.0}
CTF = {"rlnDefocusU": 9842.0, "rlnDefocusV": 9582.0, "rlnDefocusAngle": 70.0, "rlnCtfMaxResolution": 4.0}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Micrographs with a point at each particle, and picks that were made on micrographs of half the pixel size."""
    monkeypatch.chdir(tmp_path)
    for folder in ("MotionCorr/job002/Movies", "theirs/Movies", str(OUT)):
        Path(folder).mkdir(parents=True)
    for name in NAMES:
        image = np.random.default_rng(1).normal(scale=0.1, size=(110, 130)).astype(np.float32)
        for x, y in TRUTH.get(Path(name).stem, ()):
            image[y, x] = 100.0
        write_mrc(name, image, 3.0)
    rows = pd.DataFrame([{"rlnMicrographName": name, "rlnOpticsGroup": 1, **CTF} for name in NAMES])
    write_star("mics.star", {"optics": pd.DataFrame([OPTICS]), "micrographs": rows})
    for stem, places in TRUTH.items():
        decide(stem, np.array(places, np.float64) * 2)


def decide(stem: str, places: np.ndarray, selected: bool = True) -> None:
    earlier = f"MotionCorr/job001/Movies/{stem}.mrc"
    write_decided(decided_file("decisions/manual", earlier), Decided(
        micrograph=earlier, signature="", pixel_size=1.5, date="2026-11-30 12:00", places=places, selected=selected))


def run() -> None:
    manualpick.run(ManualPickOptions(), {"micrographs": Path("mics.star"), "picks": Path("decisions/manual")}, OUT,
                   lambda done, total, message: None)


def test_the_name_of_a_movies_decisions() -> None:
    assert root_of("MotionCorr/job002/Movies/a.b.mrc") == root_of("Movies/a_b.tiff") == "Movies/a_b"
    with pytest.raises(CryosnakeError, match="does not lie below the project folder"):
        decided_file("decisions/manual", "/elsewhere/a.mrc")


@pytest.mark.relion
@pytest.mark.parametrize("form", ["3.1", "4 and 5"])
def test_relion_extracts_at_the_picks(form: str, relion: Path) -> None:
    """RELION 3.1 by folder and suffix; the list of 4 and 5 as a path per micrograph, with its micrographs."""
    run()
    table, words = "mics.star", ["--coord_dir", f"{OUT}/", "--coord_suffix", "_manualpick.star"]
    if form == "4 and 5":
        table = f"{OUT}/micrographs_selected.star"
        assert listed_coordinates(OUT / "manualpick.star") == listed_coordinates(OUT / "coords_suffix_manualpick.star")
    subprocess.run([relion / "relion_preprocess", "--i", table, "--part_dir", "theirs/", "--part_star",
                    "theirs/particles.star", "--extract", "--extract_size", "16", *words], check=True,
                   capture_output=True)
    rows = read_star("theirs/particles.star")["particles"]
    assert list(map(tuple, rows[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy())) == [
        place for places in TRUTH.values() for place in places]
    for stem, places in TRUTH.items():
        images = read_mrc(f"theirs/Movies/{stem}.mrcs")[0]
        peaks = [np.unravel_index(image.argmax(), image.shape) for image in images]
        assert len(images) == len(places) and set(peaks) == {(8, 8)}, "the point is in the middle"


def test_what_is_left_out_and_refused(capsys: pytest.CaptureFixture[str]) -> None:
    decide("b", np.empty((0, 2)))
    decide("c", np.ones((2, 2)), selected=False)
    run()
    assert list(read_star(OUT / "manualpick.star")["coordinate_files"]["rlnMicrographName"]) == NAMES[:1]
    assert "5 picks on 2 of 3 micrographs, 1 of them selected" in capsys.readouterr().out
    decide("a", np.empty((0, 2)))
    with pytest.raises(CryosnakeError, match=r"decisions/manual has no picks on selected micrographs of mics.star"):
        run()
