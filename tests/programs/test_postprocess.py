from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star
from cryosnake.jobs.postprocess import JOB
from cryosnake.numerics.filters import apply_filter, cosine_edge
from cryosnake.numerics.postprocessing import fit_guinier
from cryosnake.programs.maps import postprocess
from cryosnake.report.job_pictures import draw_pictures

BOX, PIXEL_SIZE = 48, 1.5
MTF = "data_mtf\nloop_\n_rlnResolutionInversePixel\n_rlnMtfValue\n"
COLUMN = {"unmasked": "rlnFourierShellCorrelationUnmaskedMaps", "masked": "rlnFourierShellCorrelationMaskedMaps",
          "fraction": "rlnFourierShellCorrelationParticleMaskFraction",
          "random": "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
          "corrected": "rlnFourierShellCorrelationCorrected"}


def process(folder: Path, half: Path, mask: Path, **options: Any) -> dict[str, Any]:
    chosen = JOB.options(**options)
    postprocess.run(chosen, {"half_maps": half, "mask": mask}, folder, lambda *_: None)
    return read_star(folder / "postprocess.star")


def soft_ball(box: int = BOX, radius: float = 14.0) -> np.ndarray:
    grid = np.mgrid[:box, :box, :box] - box // 2
    return cosine_edge(np.sqrt((grid**2).sum(axis=0)), radius, 6.0)


def make_halves(folder: Path, noise: float = 0.35, b_factor: float = 90.0, box: int = BOX) -> Path:
    """A ball of white density with a B-factor, in two noisy copies, and its mask."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((box,) * 3).astype(np.float32) * soft_ball(box)
    signal = apply_filter(signal, lambda k: np.exp(-0.25 * b_factor * (k / (box * PIXEL_SIZE)) ** 2))
    for half in (1, 2):
        write_mrc(folder / f"run_half{half}_class001_unfil.mrc", signal + noise * rng.standard_normal(signal.shape),
                  PIXEL_SIZE)
    write_mrc(folder / "mask.mrc", soft_ball(box), PIXEL_SIZE)
    return folder / "run_half1_class001_unfil.mrc"


@pytest.fixture
def half(tmp_path: Path) -> Path:
    return make_halves(tmp_path)


def test_files_and_columns_are_relions(tmp_path: Path, half: Path) -> None:
    star = process(tmp_path, half, tmp_path / "mask.mrc")
    assert list(star) == ["general", "fsc", "guinier"]
    assert list(star["fsc"].columns)[:4] == ["rlnSpectralIndex", "rlnResolution", "rlnAngstromResolution",
                                             COLUMN["corrected"]]
    assert set(COLUMN.values()) < set(star["fsc"].columns)
    assert len(star["fsc"]) == len(star["guinier"]) == BOX // 2 + 1
    general = star["general"].iloc[0]
    assert general["rlnUnfilteredMapHalf2"] == str(half).replace("half1", "half2")
    assert general["rlnMaskName"] == str(tmp_path / "mask.mrc")
    shell = round(BOX * PIXEL_SIZE / general["rlnFinalResolution"])
    corrected = star["fsc"][COLUMN["corrected"]]
    assert corrected[shell] >= 0.143 > corrected[shell + 1]
    for name in ("postprocess.mrc", "postprocess_masked.mrc", "postprocess_fsc.xml"):
        assert (tmp_path / name).stat().st_size > 1000
    masked, pixel_size = read_mrc(tmp_path / "postprocess_masked.mrc")
    assert pixel_size == pytest.approx(PIXEL_SIZE)
    assert not masked[soft_ball() == 0].any()


def test_pictures_are_drawn(tmp_path: Path, half: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process(tmp_path, half, tmp_path / "mask.mrc")
    draw_pictures(JOB.panels, tmp_path, {})
    assert "could not be drawn" not in capsys.readouterr().err
    for name in ("fsc", "guinier", "map"):
        assert (tmp_path / f"postprocess_{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_b_factor_of_the_map_is_found(tmp_path: Path) -> None:
    star = process(tmp_path, make_halves(tmp_path, noise=0.02), tmp_path / "mask.mrc")
    # The fit sees the mean of both halves with all its noise, so a little less than −90 is right.
    assert star["general"]["rlnBfactorUsedForSharpening"].iloc[0] == pytest.approx(-90.0, abs=6.0)


def test_second_half_map_may_be_given(tmp_path: Path, half: Path) -> None:
    other = Path(str(half).replace("half1", "half2"))
    star = process(tmp_path, other, tmp_path / "mask.mrc")
    assert star["general"]["rlnUnfilteredMapHalf1"].iloc[0] == str(half)


def test_own_b_factor_and_its_sign(tmp_path: Path, half: Path) -> None:
    def power(name: str) -> np.ndarray:
        return np.abs(np.fft.rfftn(read_mrc(tmp_path / name)[0], axes=(0, 1, 2)))[0, 0]

    plain = process(tmp_path, half, tmp_path / "mask.mrc", auto_b_factor=False)
    flat = power("postprocess.mrc")
    process(tmp_path, half, tmp_path / "mask.mrc", auto_b_factor=False, b_factor=-80.0)
    ratio = power("postprocess.mrc")[1:12] / flat[1:12]
    frequency = np.arange(1, 12) / (BOX * PIXEL_SIZE)
    assert np.allclose(ratio, np.exp(20.0 * frequency**2), rtol=1e-3)
    assert plain["general"]["rlnBfactorUsedForSharpening"].iloc[0] == 0.0


def test_mtf_is_divided_out(tmp_path: Path, half: Path) -> None:
    (tmp_path / "mtf.star").write_text(MTF + "0 1\n0.5 0.5\n1 0.1\n")
    plain = process(tmp_path, half, tmp_path / "mask.mrc", auto_b_factor=False)
    star = process(tmp_path, half, tmp_path / "mask.mrc", auto_b_factor=False, mtf=str(tmp_path / "mtf.star"),
                   mtf_pixel_size=PIXEL_SIZE / 2)
    nyquist = star["guinier"].iloc[-1]
    # 1 / (2 · 1.5 Å) is ¼ per pixel of 0.75 Å, where the MTF is ¾.
    assert nyquist["rlnLogAmplitudesMTFCorrected"] - nyquist["rlnLogAmplitudesOriginal"] == pytest.approx(-np.log(0.75),
                                                                                                         abs=1e-4)
    shell = 8
    gain = star["guinier"]["rlnLogAmplitudesWeighted"][shell] - plain["guinier"]["rlnLogAmplitudesWeighted"][shell]
    assert gain == pytest.approx(-np.log(1 - shell / BOX / 2), abs=1e-4)


def test_low_resolution_is_not_sharpened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    star = process(tmp_path, make_halves(tmp_path, noise=0.4, b_factor=900.0), tmp_path / "mask.mrc")
    assert star["general"]["rlnBfactorUsedForSharpening"].iloc[0] == 0.0
    assert "not sharpened" in capsys.readouterr().out


def test_fsc_that_never_falls_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    star = process(tmp_path, make_halves(tmp_path, noise=1e-4, b_factor=10.0), tmp_path / "mask.mrc")
    said = capsys.readouterr().out
    assert "stays above 0.8" in said and "limited by the pixel size" in said
    assert star["general"]["rlnFinalResolution"].iloc[0] == pytest.approx(2 * PIXEL_SIZE)


def _spoil(folder: Path, kind: str) -> None:
    first, second = (folder / f"run_half{half}_class001_unfil.mrc" for half in (1, 2))
    if kind == "missing half":
        second.unlink()
    elif kind == "same halves":
        shutil.copy(first, second)
    elif kind == "cut mask":
        write_mrc(folder / "mask.mrc", soft_ball()[12:-12, 12:-12, 12:-12], PIXEL_SIZE)
    elif kind == "other pixel size":
        write_mrc(folder / "mask.mrc", soft_ball(), 2 * PIXEL_SIZE)
    elif kind == "empty mask":
        write_mrc(folder / "mask.mrc", 0.1 * soft_ball(), PIXEL_SIZE)
    elif kind == "no mask":
        write_mrc(folder / "mask.mrc", 5.0 * soft_ball() - 1.0, PIXEL_SIZE)
    elif kind == "full mask":
        write_mrc(folder / "mask.mrc", np.ones((BOX,) * 3), PIXEL_SIZE)
    elif kind == "unlike halves":
        write_mrc(second, np.random.default_rng(9).standard_normal((BOX,) * 3), PIXEL_SIZE)
        write_mrc(first, np.random.default_rng(8).standard_normal((BOX,) * 3), PIXEL_SIZE)
    elif kind == "nan":
        with open(first, "r+b") as file:
            file.seek(1024)
            file.write(np.float32(np.nan).tobytes())


@pytest.mark.parametrize(("kind", "message", "name"), [
    ("missing half", "does not exist", "half2"), ("same halves", "same map", "half2"),
    ("cut mask", "reaches the faces of its box", "mask.mrc"),
    ("other pixel size", "has 3 Å per voxel", "mask.mrc"), ("empty mask", "empty mask", "mask.mrc"),
    ("no mask", "not a mask: its values", "mask.mrc"), ("full mask", "whole box", "mask.mrc"), ("nan", "NaN", "half1"),
    ("unlike halves", "do not agree", "half1"),
])
def test_bad_input_is_explained(tmp_path: Path, half: Path, kind: str, message: str, name: str) -> None:
    _spoil(tmp_path, kind)
    with pytest.raises(CryosnakeError, match=message) as error:
        process(tmp_path, half, tmp_path / "mask.mrc")
    assert name in str(error.value)
    assert not (tmp_path / "postprocess.star").exists()


def test_conflicting_b_factors_and_bad_mtf(tmp_path: Path, half: Path) -> None:
    with pytest.raises(CryosnakeError, match="auto_b_factor: false"):
        process(tmp_path, half, tmp_path / "mask.mrc", b_factor=-50.0)
    (tmp_path / "mtf.star").write_text(MTF + "0 1\n0.4 0\n")
    with pytest.raises(CryosnakeError, match=r"mtf.star.*mtf_pixel_size"):
        process(tmp_path, half, tmp_path / "mask.mrc", mtf=str(tmp_path / "mtf.star"))


@pytest.mark.data
@pytest.mark.parametrize(("job", "resolution", "b_factor"), [("job021", 3.03299, -35.1),
                                                             ("job030", 2.818265, -1.6)])
def test_guinier_fit_of_a_published_project(real_data: Path, job: str, resolution: float, b_factor: float) -> None:
    """RELION's own Guinier tables, fitted to Nyquist as RELION does, give RELION's B-factor."""
    star = read_star(real_data / f"relion31_project_bgal/PostProcess/{job}/postprocess.star")
    guinier = star["guinier"]
    values = guinier["rlnLogAmplitudesWeighted"].to_numpy()
    fit = fit_guinier(np.sqrt(guinier["rlnResolutionSquared"].to_numpy()), np.where(values > -90, values, np.nan), 10.0,
                      2 * 1.244)
    assert fit is not None and fit.b_factor == pytest.approx(b_factor, abs=0.06)
    assert star["general"]["rlnFinalResolution"].iloc[0] == pytest.approx(resolution)


def _real_halves(real_data: Path, tmp_path: Path, name: str) -> Path:
    if name == "falcon":
        folder, pattern = real_data / "relion20_bgal_falcon/Refine3D/job020", "run_half{}_class001_unfil.mrc"
    else:
        folder, pattern = real_data / "bgal_k2_particles/expected", "half{}.mrc"
    for half in (1, 2):
        volume, pixel_size = read_mrc(folder / pattern.format(half))
        write_mrc(tmp_path / pattern.format(half), volume, pixel_size)
    return tmp_path / pattern.format(1)


@pytest.mark.relion
@pytest.mark.data
@pytest.mark.parametrize("name", ["falcon", "k2"])
def test_same_curves_as_relion(tmp_path: Path, real_data: Path, relion: Path, name: str) -> None:
    half = _real_halves(real_data, tmp_path, name)
    volume, pixel_size = read_mrc(half)
    write_mrc(tmp_path / "mask.mrc", soft_ball(volume.shape[0], 0.3 * volume.shape[0]), pixel_size)
    ours = process(tmp_path, half, tmp_path / "mask.mrc")
    theirs = [_relion_postprocess(relion, tmp_path, half, pixel_size, seed) for seed in range(1, 7)]
    fsc = theirs[0]["fsc"]
    for curve in ("unmasked", "masked", "fraction"):
        assert np.abs(ours["fsc"][COLUMN[curve]] - fsc[COLUMN[curve]]).max() < 1e-4, curve
    # RELION's phases are one draw; each of its curves scatters by up to 0.03 about their mean, which is ours.
    corrected = np.mean([star["fsc"][COLUMN["corrected"]] for star in theirs], axis=0)
    assert np.abs(ours["fsc"][COLUMN["corrected"]] - corrected).max() < 0.01
    resolution, expected = (star["general"]["rlnFinalResolution"].iloc[0] for star in (ours, theirs[0]))
    assert resolution == pytest.approx(expected, rel=1e-4)
    for label in ("rlnRandomiseFrom", "rlnParticleBoxFractionSolventMask"):
        assert ours["general"][label].iloc[0] == pytest.approx(theirs[0]["general"][label].iloc[0], rel=1e-4)
    assert np.abs(ours["guinier"]["rlnLogAmplitudesOriginal"] - theirs[0]["guinier"]["rlnLogAmplitudesOriginal"]
                  ).max() < 1e-3


@pytest.mark.relion
@pytest.mark.data
def test_same_map_as_relion(tmp_path: Path, real_data: Path, relion: Path) -> None:
    half = _real_halves(real_data, tmp_path, "falcon")
    write_mrc(tmp_path / "mask.mrc", soft_ball(100, 30), 3.54)
    process(tmp_path, half, tmp_path / "mask.mrc", auto_b_factor=False, b_factor=-200.0, low_pass=9.0)
    _relion_postprocess(relion, tmp_path, half, 3.54, 1, "--adhoc_bfac", "-200", "--low_pass", "9")
    ours, theirs = read_mrc(tmp_path / "postprocess.mrc")[0], read_mrc(tmp_path / "r/postprocess.mrc")[0]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9999
    assert ours.std() / theirs.std() == pytest.approx(1.0, abs=0.005)


def _relion_postprocess(relion: Path, folder: Path, half: Path, pixel_size: float, seed: int,
                        *more: str) -> dict[str, Any]:
    (folder / "r/postprocess").mkdir(parents=True, exist_ok=True)
    command = [str(relion / "relion_postprocess"), "--i", str(half), "--mask", str(folder / "mask.mrc"), "--o",
               str(folder / "r/postprocess"), "--angpix", str(pixel_size), "--random_seed", str(seed), "--force_mask",
               *(more or ("--auto_bfac",))]
    subprocess.run(command, capture_output=True, timeout=60, check=False)  # it fails at last, for want of ghostscript
    return read_star(folder / "r/postprocess.star")
