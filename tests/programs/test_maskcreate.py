from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.jobs.maskcreate import JOB
from cryosnake.programs.maps import maskcreate

BOX, PIXEL_SIZE = 32, 4.0


def create(tmp_path: Path, source: str | Path, **options: Any) -> np.ndarray:
    chosen = JOB.options(**options)
    maskcreate.run(chosen, {"map": str(source)}, tmp_path, lambda *_: None)
    mask, _ = read_mrc(tmp_path / "mask.mrc")
    return mask


@pytest.fixture
def ball(tmp_path: Path) -> Path:
    grid = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    noise = np.random.default_rng(0).normal(0, 0.1, (BOX,) * 3)
    write_mrc(tmp_path / "map.mrc", (np.sqrt((grid**2).sum(axis=0)) < 7) + noise, PIXEL_SIZE)
    return tmp_path / "map.mrc"


def test_mask_of_a_noisy_ball(tmp_path: Path, ball: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = create(tmp_path, ball, soft_edge=4.0)
    line = mask[BOX // 2, BOX // 2, BOX // 2:]
    assert (line[:9] == 1).all() and (line[15:] == 0).all() and (np.diff(line) <= 0).all()
    assert read_mrc(tmp_path / "mask.mrc")[1] == pytest.approx(PIXEL_SIZE)
    assert "threshold 0." in capsys.readouterr().out


def test_distances_in_angstrom(tmp_path: Path, ball: Path) -> None:
    voxels = create(tmp_path, ball, extend=2.0, soft_edge=4.0)
    angstrom = create(tmp_path, ball, extend=8.0, soft_edge=16.0, unit="angstrom")
    assert np.array_equal(voxels, angstrom)


def test_molecular_weight_sets_the_threshold(tmp_path: Path, ball: Path) -> None:
    volume = 4 / 3 * np.pi * 7**3 * PIXEL_SIZE**3 / 1210
    mask = create(tmp_path, ball, molecular_weight=volume, extend=0.0, soft_edge=0.0)
    assert mask.sum() * PIXEL_SIZE**3 / 1210 == pytest.approx(volume, rel=0.05)


def test_mean_of_two_half_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    density = (np.sqrt((grid**2).sum(axis=0)) < 7).astype(np.float32)
    write_mrc(tmp_path / "run_half1_class001_unfil.mrc", 2 * density, PIXEL_SIZE)
    write_mrc(tmp_path / "run_half2_class001_unfil.mrc", 0 * density + 1e-3 * grid[0], PIXEL_SIZE)
    both = create(tmp_path, tmp_path / "run_half1_class001_unfil.mrc", threshold=0.9, low_pass=0.0, extend=0.0)
    assert (both == 1).sum() == density.sum()  # their mean is 1 in the ball; 2 or 0 in one half alone
    assert "mean of" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "message"), [
    ({"threshold": 99.0}, "no voxel is above the threshold 99"),
    ({"threshold": -99.0}, "100% of the box"),
    ({"molecular_weight": 1e6}, "molecular_weight"),
    ({"extend": -20.0}, "nothing is left"),
])
def test_bad_options_are_explained(tmp_path: Path, ball: Path, options: dict[str, float], message: str) -> None:
    with pytest.raises(CryosnakeError, match=message) as error:
        create(tmp_path, ball, **options)
    assert "map.mrc" in str(error.value)
    assert not (tmp_path / "mask.mrc").exists()


def _bad_map(kind: str) -> np.ndarray:
    volume = np.random.default_rng(0).normal(size=(BOX,) * 3).astype(np.float32)
    if kind == "zero":
        volume[:] = 0
    return volume[:, :16] if kind == "no cube" else volume


@pytest.mark.parametrize(("kind", "message"), [("zero", "zero everywhere"), ("no cube", "not a cubic map"),
                                               ("nan", "NaN"), ("no pixel size", "pixel size")])
def test_bad_maps_are_explained(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "bad.mrc"
    write_mrc(path, _bad_map(kind), 0.0 if kind == "no pixel size" else PIXEL_SIZE)
    if kind == "nan":
        with open(path, "r+b") as file:
            file.seek(1024 + 4000)
            file.write(np.float32(np.nan).tobytes())
    with pytest.raises(CryosnakeError, match=message) as error:
        create(tmp_path, path)
    assert "bad.mrc" in str(error.value)


@pytest.mark.relion
@pytest.mark.data
@pytest.mark.parametrize(("low_pass", "threshold", "extend", "edge"), [(15, 0.02, 3, 6), (0, 0.05, 2, 3),
                                                                       (12, 0.02, -2, 4), (20, 0.03, 0, 5)])
def test_same_mask_as_relion(tmp_path: Path, real_data: Path, relion: Path, low_pass: float, threshold: float,
                             extend: int, edge: int) -> None:
    source = real_data / "relion20_bgal_falcon/Refine3D/job020/run_class001.mrc"
    command = [relion / "relion_mask_create", "--i", source, "--o", tmp_path / "relion.mrc", "--ini_threshold",
               threshold, "--extend_inimask", extend, "--width_soft_edge", edge, "--angpix", 3.54]
    subprocess.run([str(word) for word in command + (["--lowpass", low_pass] if low_pass else [])], check=True,
                   capture_output=True, timeout=60)
    mask = create(tmp_path, source, low_pass=float(low_pass), threshold=threshold, extend=float(extend),
                  soft_edge=float(edge), smallest_part=0.0)
    expected, _ = read_mrc(tmp_path / "relion.mrc")
    # The same voxels; float32 cosines may differ in the last bit, one voxel may lie on the threshold itself.
    assert np.abs(mask - expected).mean() < 1e-5


@pytest.mark.data
def test_automatic_threshold_on_a_real_map(tmp_path: Path, real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """beta-Galactosidase has 465 kDa: the contour holds that much at least, and less than twice of it."""
    create(tmp_path, real_data / "bgal_k2_particles/expected/half1.mrc")
    said = capsys.readouterr().out
    mass = float(said.split("volume of ")[1].split(" kDa")[0])
    assert 465 < mass < 2 * 465
