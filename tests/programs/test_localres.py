from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.jobs.localres import JOB
from cryosnake.numerics.filters import apply_filter, cosine_edge
from cryosnake.programs.maps import localres
from cryosnake.report.job_pictures import draw_pictures
from cryosnake.simulation.half_maps import FlexibleHalves, flexible_halves

BOX, PIXEL_SIZE = 64, 2.4


def process(folder: Path, half: Path, mask: Path | None, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    chosen = JOB.options(**{"device": "cpu"} | options)
    inputs = {"half_maps": half} | ({"mask": mask} if mask else {})
    localres.run(chosen, inputs, folder, lambda *_: None)
    return read_mrc(folder / "relion_locres.mrc")[0], read_mrc(folder / "relion_locres_filtered.mrc")[0]


def write_halves(folder: Path, first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> Path:
    for number, volume in ((1, first), (2, second)):
        write_mrc(folder / f"run_half{number}_class001_unfil.mrc", volume, PIXEL_SIZE)
    write_mrc(folder / "mask.mrc", mask, PIXEL_SIZE)
    return folder / "run_half1_class001_unfil.mrc"


@pytest.fixture(scope="module")
def flexible() -> FlexibleHalves:
    return flexible_halves(BOX, PIXEL_SIZE)


@pytest.fixture
def half(tmp_path: Path, flexible: FlexibleHalves) -> Path:
    return write_halves(tmp_path, flexible.half1, flexible.half2, flexible.mask)


def test_maps_and_picture(tmp_path: Path, half: Path, flexible: FlexibleHalves,
                          capsys: pytest.CaptureFixture[str]) -> None:
    resolution, density = process(tmp_path, half, tmp_path / "mask.mrc")
    assert resolution.shape == density.shape == (BOX,) * 3
    assert read_mrc(tmp_path / "relion_locres.mrc")[1] == pytest.approx(PIXEL_SIZE)
    inside = flexible.mask > 0.5
    median = np.median(resolution[inside])
    assert f"median {median:.2f} Å" in capsys.readouterr().out
    rigid, loose = (np.median(resolution[inside & part])
                    for part in (flexible.flexibility < 0.1, flexible.flexibility > 0.9))
    assert rigid < 0.8 * loose
    assert not density[flexible.mask == 0].any() and not resolution[flexible.mask == 0].any()
    draw_pictures(JOB.panels, tmp_path, {"mask": tmp_path / "mask.mrc"})
    assert "could not be drawn" not in capsys.readouterr().err
    assert (tmp_path / "local_resolution.png").read_bytes()[:4] == b"\x89PNG"


def test_without_a_mask_every_voxel_has_a_resolution(tmp_path: Path, half: Path) -> None:
    resolution, _ = process(tmp_path, half, None)
    assert (resolution >= 2 * PIXEL_SIZE - 1e-3).all() and (resolution <= 50.0 + 1e-3).all()


def test_b_factor_and_mtf_multiply_the_map(tmp_path: Path) -> None:
    volume = apply_filter(np.random.default_rng(0).standard_normal((BOX,) * 3, dtype=np.float32),
                          lambda k: cosine_edge(k, 26.0, 4.0))
    tiny = 1e-3 * np.random.default_rng(1).standard_normal(volume.shape, dtype=np.float32)
    half = write_halves(tmp_path, volume + tiny, volume - tiny, np.ones_like(volume))
    (tmp_path / "mtf.star").write_text("data_mtf\nloop_\n_rlnResolutionInversePixel\n_rlnMtfValue\n"
                                       "0 1\n0.5 0.5\n1 0.1\n")
    spectra = [np.abs(np.fft.rfftn(process(tmp_path, half, None, **options)[1]))[0, 0, 1:20] for options in
               ({"b_factor": 0.0}, {"b_factor": -80.0}, {"b_factor": 0.0, "mtf": str(tmp_path / "mtf.star")})]
    frequency = np.arange(1, 20) / (BOX * PIXEL_SIZE)
    assert np.allclose(spectra[1] / spectra[0], np.exp(20.0 * frequency**2), rtol=5e-3)
    assert np.allclose(spectra[2] / spectra[0], 1.0 / (1.0 - frequency * PIXEL_SIZE), rtol=5e-3)


def test_noise_is_called_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str], flexible: FlexibleHalves) -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.standard_normal((BOX,) * 3, dtype=np.float32) for _ in range(2))
    process(tmp_path, write_halves(tmp_path, first, second, flexible.mask), tmp_path / "mask.mrc")
    assert "hardly agree" in capsys.readouterr().out


def _spoil(folder: Path, kind: str, flexible: FlexibleHalves) -> None:
    first, second = (folder / f"run_half{number}_class001_unfil.mrc" for number in (1, 2))
    if kind == "missing half":
        second.unlink()
    elif kind == "same halves":
        shutil.copy(first, second)
    elif kind == "opposite halves":
        write_mrc(second, -flexible.half1, PIXEL_SIZE)
    elif kind == "other box":
        write_mrc(second, flexible.half2[:48, :48, :48], PIXEL_SIZE)
    elif kind == "cut mask":
        write_mrc(folder / "mask.mrc", flexible.mask[20:44, 20:44, 20:44], PIXEL_SIZE)
    elif kind == "other pixel size":
        write_mrc(second, flexible.half2, 2 * PIXEL_SIZE)
    elif kind == "odd box":
        for path, volume in ((first, flexible.half1), (second, flexible.half2), (folder / "mask.mrc", flexible.mask)):
            write_mrc(path, volume[1:, 1:, 1:], PIXEL_SIZE)
    elif kind == "nan":
        with open(first, "r+b") as file:
            file.seek(1024)
            file.write(np.float32(np.nan).tobytes())


@pytest.mark.parametrize(("kind", "message", "name"), [
    ("missing half", "does not exist", "half2"), ("same halves", "same map", "half2"),
    ("opposite halves", "do not agree anywhere", "half1"), ("other box", "box of 48", "half2"),
    ("cut mask", "reaches the faces of its box", "mask.mrc"), ("other pixel size", "pixel size of 4.8 Å", "half2"),
    ("odd box", "even box", "half1"), ("nan", "NaN", "half1"),
])
def test_bad_input_is_explained(tmp_path: Path, half: Path, flexible: FlexibleHalves, kind: str, message: str,
                                name: str) -> None:
    _spoil(tmp_path, kind, flexible)
    with pytest.raises(CryosnakeError, match=message) as error:
        process(tmp_path, half, tmp_path / "mask.mrc")
    assert name in str(error.value)
    assert not (tmp_path / "relion_locres.mrc").exists()


def test_window_larger_than_the_box_is_refused(tmp_path: Path, half: Path) -> None:
    with pytest.raises(CryosnakeError, match="set a smaller sampling"):
        process(tmp_path, half, tmp_path / "mask.mrc", sampling=80.0)


def relion_locres(relion: Path, folder: Path, half: Path, pixel_size: float, *more: str) -> np.ndarray:
    (folder / "r").mkdir()
    command = [str(relion / "relion_postprocess"), "--locres", "--i", str(half), "--o", str(folder / "r/relion"),
               "--angpix", str(pixel_size), "--adhoc_bfac", "-100", *more]
    subprocess.run(command, capture_output=True, timeout=120, check=False)  # it fails at last, for want of ghostscript
    return read_mrc(folder / "r/relion_locres.mrc")[0]


@pytest.mark.relion
def test_simulated_halves_have_relions_resolution(tmp_path: Path, relion: Path, half: Path,
                                                  flexible: FlexibleHalves) -> None:
    ours, density = process(tmp_path, half, tmp_path / "mask.mrc")
    theirs = relion_locres(relion, tmp_path, half, PIXEL_SIZE)
    inside = flexible.mask > 0.5
    assert np.median(ours[inside]) == pytest.approx(np.median(theirs[inside]), rel=0.1)
    # RELION's FSCs carry the noise of one draw of random phases each.
    assert np.corrcoef(1 / ours[inside], 1 / theirs[inside])[0, 1] > 0.85
    filtered = read_mrc(tmp_path / "r/relion_locres_filtered.mrc")[0] * flexible.mask
    assert np.corrcoef(density[inside], filtered[inside])[0, 1] > 0.98


@pytest.mark.relion
@pytest.mark.data
def test_real_halves_have_relions_resolution(tmp_path: Path, real_data: Path, relion: Path) -> None:
    """β-galactosidase, sampled every 40 Å as RELION is slow."""
    for number in (1, 2):
        volume, pixel_size = read_mrc(real_data / f"bgal_k2_particles/expected/half{number}.mrc")
        write_mrc(tmp_path / f"half{number}.mrc", volume, pixel_size)
    grid = np.mgrid[:64, :64, :64] - 32
    mask = cosine_edge(np.sqrt((grid**2).sum(axis=0)), 20.0, 6.0)
    write_mrc(tmp_path / "mask.mrc", mask, pixel_size)
    ours, _ = process(tmp_path, tmp_path / "half1.mrc", tmp_path / "mask.mrc", sampling=40.0)
    theirs = relion_locres(relion, tmp_path, tmp_path / "half1.mrc", pixel_size, "--locres_sampling", "40")
    assert np.median(ours[mask > 0.5]) == pytest.approx(np.median(theirs[mask > 0.5]), rel=0.1)
