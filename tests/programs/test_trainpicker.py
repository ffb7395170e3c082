"""A learned picker: rods that blobs miss, from picks and from particles, the same each time, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import AutoPickOptions, TrainPickerOptions
from cryosnake.programs.micrographs import autopick, trainpicker

PIXEL, SIDE = 5.0, 480
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
    for place in places:
        left, top = np.rint(place).astype(int) - 26
        y, x = np.mgrid[top : top + 53, left : left + 53]
        angle = rng.uniform(0, np.pi)
        along = (x - place[0]) * np.cos(angle) + (y - place[1]) * np.sin(angle)
        across = (y - place[1]) * np.cos(angle) - (x - place[0]) * np.sin(angle)
        image[top : top + 53, left : left + 53] -= np.exp(-((along / 17.0) ** 4) - (across / 5.0) ** 2)
    return image, places


def write_picked(names: list[str], wrong: float = 1.0, keep: int = 40, first: int = 0) -> dict[str, np.ndarray]:
    """Write micrographs, the files of a ManualPick job (coordinates times `wrong`); return the true places by name."""
    truth = {}
    for number, name in enumerate(names, first):
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
    unseen = write_picked(["Movies/c.mrc"], first=7)["Movies/c.mrc"]
    truth = write_picked(["Movies/a.mrc", "Movies/b.mrc"])
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


def test_three_picks_are_too_few() -> None:
    write_picked(["Movies/a.mrc"], keep=3)
    with pytest.raises(CryosnakeError, match=r"manualpick\.star: 3 picks on 1 micrographs are too few.*20 at the leas"):
        train()


def test_picks_off_the_micrograph_are_refused_with_what_may_be_wrong() -> None:
    write_picked(["Movies/a.mrc"], wrong=2.0)
    with pytest.raises(CryosnakeError, match=r"Movies/a\.mrc: \d+ of 40 picks lie off .* 480 × 480 .*another pixel"):
        train()


def test_picks_in_other_pixels_tell_particles_no_better_than_chance() -> None:
    write_picked(["Movies/a.mrc", "Movies/b.mrc"], wrong=0.7)
    with pytest.raises(CryosnakeError, match="picks do not show what a particle is"):
        train()


def test_micrographs_that_are_gone_are_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    write_picked(["Movies/a.mrc", "Movies/b.mrc"])
    Path("Movies/a.mrc").unlink()
    train()
    assert "1 of 2 micrographs with picks do not exist, the first Movies/a.mrc" in capsys.readouterr().out
    Path("Movies/b.mrc").unlink()
    with pytest.raises(CryosnakeError, match=r"0 picks on micrographs that exist \(Movies/a.mrc does not; run the job"):
        train()


@pytest.mark.parametrize(("slots", "message"), [((), "connect either"), (("coordinates", "particles"), "either")])
def test_one_source_is_needed(slots: tuple[str, ...], message: str) -> None:
    options = TrainPickerOptions(diameter=DIAMETER, device="cpu")
    with pytest.raises(CryosnakeError, match=message):
        trainpicker.run(options, dict.fromkeys(slots, Path("x.star")), Path(), lambda done, total, message: None)


def test_a_table_of_other_things_is_refused() -> None:
    write_picked(["Movies/a.mrc"])
    for slot, path, message in (("particles", "ManualPick/job004/manualpick.star", "lacks rlnCoordinateX"),
                                ("coordinates", "run_data.star", "no data_coordinate_files")):
        write_particles({"Movies/a.mrc": np.ones((40, 2))})
        with pytest.raises(CryosnakeError, match=message):
            train(slot, path)


def test_picks_of_relion_3_are_found_beside_the_list_of_their_micrographs() -> None:
    write_picked(["Movies/a.mrc"])
    first = train(out="first").read_bytes()
    write_star("micrographs.star", {"micrographs": pd.DataFrame({"rlnMicrographName": ["Movies/a.mrc", "Movies/x.mrc"],
                                                                 "rlnOpticsGroup": 1})})
    Path("ManualPick/job004/Movies").mkdir()
    Path("ManualPick/job004/a_manualpick.star").rename("ManualPick/job004/Movies/a_manualpick.star")
    Path("ManualPick/job004/coords_suffix_manualpick.star").write_text("micrographs.star\n")
    assert train(path="ManualPick/job004/coords_suffix_manualpick.star", out="second").read_bytes() == first


def test_a_picker_is_refused_that_is_missing_damaged_or_of_smaller_pixels() -> None:
    truth = write_picked(["Movies/a.mrc"])
    picker = train()
    assert len(truth["Movies/a.mrc"]) == 40
    with pytest.raises(CryosnakeError, match=r"8\.75 Å per pixel, and these micrographs have 12 Å"):
        pick("Movies/a.mrc", picker, pixel_size=12.0)
    picker.write_bytes(picker.read_bytes()[:500])
    with pytest.raises(CryosnakeError, match=r"picker\.npz is no picker, or is damaged"):
        pick("Movies/a.mrc", picker)
    with pytest.raises(CryosnakeError, match="does not exist"):
        pick("Movies/a.mrc", Path("other.npz"))
    options = AutoPickOptions(diameter=DIAMETER, device="cpu", method="trained")
    with pytest.raises(CryosnakeError, match="add a job of type trainpicker"):
        autopick.prepare(options, OPTICS, {})
