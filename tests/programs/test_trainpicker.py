"""A learned picker: rods that blobs miss, from picks and from particles, the same each time, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import AutoPickOptions, TrainPickerOptions
from cryosnake.programs.micrographs import autopick, trainpicker

PIXEL, SIDE = 5.0, 560
DIAMETER = [60.0, 220.0]
OPTICS = {"rlnOpticsGroup": 1, "rlnMicrographPixelSize": PIXEL}
XY = ["rlnCoordinateX", "rlnCoordinateY"]


@pytest.fixture(autouse=True)
def stay_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def rods(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a micrograph with dark rods of 200 × 50 Å in noise as strong as they are, and their centres x, y."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(40.0, SIDE - 40, 60.0)] * 2), -1).reshape(-1, 2)
    places = rng.permutation(grid)[:40] + rng.uniform(-6, 6, (40, 2))
    image = 2.0 * rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    y, x = np.mgrid[:SIDE, :SIDE]
    for centre_x, centre_y in places:
        angle = rng.uniform(0, np.pi)
        along = (x - centre_x) * np.cos(angle) + (y - centre_y) * np.sin(angle)
        across = (y - centre_y) * np.cos(angle) - (x - centre_x) * np.sin(angle)
        image -= np.exp(-((along / 17.0) ** 4) - (across / 5.0) ** 2).astype(np.float32)
    return image, places


def write_picked(names: list[str], wrong: float = 1.0, keep: int = 40) -> dict[str, np.ndarray]:
    """Write micrographs, the files of a ManualPick job (coordinates times `wrong`); return the true places by name."""
    truth = {}
    for number, name in enumerate(names):
        image, truth[name] = rods(number)
        Path(name).parent.mkdir(exist_ok=True)
        write_mrc(name, image, PIXEL)
        Path("ManualPick/job004").mkdir(parents=True, exist_ok=True)
        write_star(f"ManualPick/job004/{Path(name).stem}_manualpick.star",
                   {"": pd.DataFrame(wrong * truth[name][:keep], columns=XY)})
    write_star("ManualPick/job004/manualpick.star", {"coordinate_files": pd.DataFrame({
        "rlnMicrographName": names,
        "rlnMicrographCoordinates": [f"ManualPick/job004/{Path(name).stem}_manualpick.star" for name in names]})})
    return truth


def train(slot: str = "coordinates", path: str = "ManualPick/job004/manualpick.star", out: str = ".", **given: Any,
          ) -> Path:
    options = TrainPickerOptions(**{"diameter": DIAMETER, "device": "cpu", **given})
    Path(out).mkdir(exist_ok=True)
    trainpicker.run(options, {slot: Path(path)} if slot else {}, Path(out), lambda done, total, message: None)
    return Path(out, "picker.npz")


def pick(name: str, picker: Path | None, pixel_size: float = PIXEL) -> np.ndarray:
    options = AutoPickOptions(diameter=DIAMETER, device="cpu", method="trained" if picker else "log")
    state = autopick.prepare(options, {**OPTICS, "rlnMicrographPixelSize": pixel_size},
                             {"picker": picker} if picker else {})
    row = autopick.process({"rlnMicrographName": name}, OPTICS, state, Path("out"))
    return read_star(row["rlnMicrographCoordinates"])[""][XY].to_numpy()


def f1(truth: np.ndarray, picks: np.ndarray, tolerance: float = 10.0) -> float:
    distance = np.hypot(*(truth[:, None] - picks[None]).transpose(2, 0, 1))
    return float(2.0 * (distance.min(1) < tolerance).sum() / (len(truth) + len(picks)))


def write_particles(truth: dict[str, np.ndarray], path: str = "run_data.star") -> None:
    """Write particles as a refinement does: picked off their centres, with the shift (Å) that brings them there."""
    rng = np.random.default_rng(5)
    places = np.concatenate(list(truth.values()))
    shift = rng.normal(0.0, 4.0, places.shape)
    write_star(path, {
        "optics": pd.DataFrame([{"rlnOpticsGroup": 1, "rlnOpticsGroupName": "opticsGroup1", "rlnImagePixelSize": PIXEL,
                                 "rlnImageSize": 64}]),
        "particles": pd.DataFrame({
            "rlnCoordinateX": places[:, 0] + shift[:, 0], "rlnCoordinateY": places[:, 1] + shift[:, 1],
            "rlnOriginXAngst": PIXEL * shift[:, 0], "rlnOriginYAngst": PIXEL * shift[:, 1], "rlnOpticsGroup": 1,
            "rlnMicrographName": [name for name, found in truth.items() for _ in found]})})


def test_rods_are_picked_from_picks_and_from_particles_and_blobs_miss_them() -> None:
    truth = write_picked(["Movies/a.mrc", "Movies/b.mrc", "Movies/c.mrc"])
    unseen = truth.pop("Movies/c.mrc")
    picked = f1(unseen, pick("Movies/c.mrc", train()))
    write_particles(truth)
    kept = f1(unseen, pick("Movies/c.mrc", train("particles", "run_data.star")))
    blobs = f1(unseen, pick("Movies/c.mrc", None))
    assert picked > blobs + 0.05 and picked > 0.85
    assert kept > picked - 0.05


def test_a_seed_gives_the_same_picker_and_another_seed_another_one() -> None:
    write_picked(["Movies/a.mrc"])
    first = train(out="first").read_bytes()
    assert train(out="second").read_bytes() == first
    assert train(out="third", seed=2).read_bytes() != first
