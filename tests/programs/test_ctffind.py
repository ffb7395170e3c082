"""CtfFind as a program: rows, files, gate and what it refuses."""

import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError, Rejected
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import CtfFindOptions
from cryosnake.numerics.ctf import Defocus, Microscope, ctf
from cryosnake.programs.micrographs import ctffind
from cryosnake.programs.micrographs.ctf_gate import gate

OPTICS = {"rlnOpticsGroupName": "opticsGroup1", "rlnOpticsGroup": 1, "rlnMicrographOriginalPixelSize": 1.0,
          "rlnVoltage": 300.0, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1,
          "rlnMicrographPixelSize": 1.0}
DEFOCUS = (12600.0, 12100.0, 55.0)


def options(**changes: Any) -> CtfFindOptions:
    return CtfFindOptions(**{"device": "cpu", **changes})


def micrograph(defocus: tuple[float, float, float] = DEFOCUS, seed: int = 0, size: int = 900) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ky, kx = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    k2 = kx**2 + ky**2
    transfer = ctf(k2, np.arctan2(ky, kx), Defocus(*defocus), Microscope(300.0, 2.7, 0.1))
    signal = np.fft.rfft2(rng.normal(size=(size, size))) * transfer * np.exp(-10.0 * k2)
    return np.fft.irfft2(signal, (size, size)).astype(np.float32) + rng.normal(size=(size, size)).astype(np.float32)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with one good micrograph; its path is the working directory, as for every program."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MotionCorr/job002/Movies").mkdir(parents=True)
    (tmp_path / "CtfFind/job003/Movies").mkdir(parents=True)
    write_mrc(Path("MotionCorr/job002/Movies/a.mrc"), micrograph(), 1.0)
    return tmp_path


ROW = {"rlnMicrographName": "MotionCorr/job002/Movies/a.mrc", "rlnOpticsGroup": 1,
       "rlnMicrographMetadata": "MotionCorr/job002/Movies/a.star", "rlnAccumMotionTotal": 12.5}
ROOT = Path("CtfFind/job003/Movies/a")


def run(row: dict[str, Any] | None = None, optics: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    optics = optics or OPTICS
    return ctffind.process(row or ROW, optics, ctffind.prepare(options(**changes), optics, {}), ROOT)


def test_row_and_picture(project: Path) -> None:
    row = run()
    assert list(row) == ["rlnMicrographName", "rlnOpticsGroup", "rlnCtfImage", "rlnDefocusU", "rlnDefocusV",
                         "rlnCtfAstigmatism", "rlnDefocusAngle", "rlnCtfFigureOfMerit", "rlnCtfMaxResolution",
                         "rlnCtfIceRingDensity", "rlnMicrographMetadata", "rlnAccumMotionTotal"]
    assert abs(0.5 * (row["rlnDefocusU"] + row["rlnDefocusV"]) - 12350.0) < 60.0
    assert row["rlnCtfAstigmatism"] == pytest.approx(row["rlnDefocusU"] - row["rlnDefocusV"])
    assert abs(row["rlnCtfAstigmatism"] - 500.0) < 150.0
    assert abs(row["rlnDefocusAngle"] - 55.0) < 12.0
    assert row["rlnCtfImage"] == "CtfFind/job003/Movies/a.ctf:mrc"
    picture, sampling = read_mrc(Path("CtfFind/job003/Movies/a.ctf"))
    assert picture.shape == (512, 512)
    assert sampling == pytest.approx(1.4, rel=0.01)
    assert [path.name for path in Path("CtfFind/job003/Movies").iterdir()] == ["a.ctf"]  # nothing temporary is left


def test_power_spectrum_and_unweighted_sum_are_taken_when_asked(project: Path) -> None:
    spectrum, sampling = ctffind.amplitude_spectrum(micrograph((20000.0, 19500.0, 10.0)), 1.0, 512, 1.4)
    write_mrc(Path("ps.mrc"), spectrum, sampling)
    write_mrc(Path("noDW.mrc"), micrograph((16000.0, 15500.0, 10.0)), 1.0)
    row = {**ROW, "rlnCtfPowerSpectrum": "ps.mrc", "rlnMicrographNameNoDW": "noDW.mrc"}
    assert abs(run(row)["rlnDefocusU"] - 20000.0) < 150.0
    assert abs(run(row, use_power_spectrum=False, use_unweighted=True)["rlnDefocusU"] - 16000.0) < 150.0
    weighted = run(row, use_power_spectrum=False)
    assert abs(weighted["rlnDefocusU"] - 12600.0) < 150.0
    assert next(iter(weighted)) == "rlnMicrographNameNoDW"
    assert weighted["rlnCtfPowerSpectrum"] == "ps.mrc"


def test_phase_shift_column_appears_only_when_fitted(project: Path) -> None:
    assert "rlnPhaseShift" not in run()
    row = run(phase_shift=True, max_resolution=10.0)
    # a phase shift of 0 and of 180 degrees give the same rings
    assert abs((row["rlnPhaseShift"] + 90.0) % 180.0 - 90.0) < 15.0


def test_noise_is_rejected_with_its_reason_and_its_picture(project: Path) -> None:
    noise = np.random.default_rng(1).normal(size=(900, 900)).astype(np.float32)
    write_mrc(Path(ROW["rlnMicrographName"]), noise, 1.0)
    with pytest.raises(Rejected, match=r"a\.mrc: fit resolution .* Å is above 5 Å; figure of merit .* is below 0\.025"):
        run()
    assert ROOT.with_name("a.ctf").exists()


def test_clear_rings_that_fade_early_pass(project: Path) -> None:
    """Rings that fade (B-factor 240 Å²) before 5 Å, and are clear until then: the fit is right, and is kept."""
    rng = np.random.default_rng(2)
    ky, kx = np.meshgrid(np.fft.fftfreq(900), np.fft.rfftfreq(900), indexing="ij")
    k2 = kx**2 + ky**2
    transfer = ctf(k2, np.arctan2(ky, kx), Defocus(*DEFOCUS), Microscope(300.0, 2.7, 0.1))
    signal = 2.0 * np.fft.rfft2(rng.normal(size=(900, 900))) * transfer * np.exp(-60.0 * k2)
    image = np.fft.irfft2(signal, (900, 900)) + rng.normal(size=(900, 900))
    write_mrc(Path(ROW["rlnMicrographName"]), image.astype(np.float32), 1.0)
    row = run()
    assert 5.2 < row["rlnCtfMaxResolution"] < 7.0
    assert abs(row["rlnDefocusU"] - 12600.0) < 60.0
    with pytest.raises(Rejected, match=r"fit resolution .* Å is above 4\.8 Å"):
        run(max_resolution=3.0)


def test_a_defocus_below_the_range_is_named(project: Path) -> None:
    write_mrc(Path(ROW["rlnMicrographName"]), micrograph((3200.0, 3000.0, 10.0)), 1.0)
    assert abs(run()["rlnDefocusU"] - 3200.0) < 150.0  # the default range has it
    with pytest.raises(Rejected, match=r"its defocus may lie below dfmin \(5000 Å\): 3[01]\d\d Å fits to"):
        run(dfmin=5000.0)


def test_limit_never_asks_for_more_than_nyquist(project: Path) -> None:
    """At 3 Å per pixel no ring beyond 6 Å can be seen; the default limit of 5 Å must not refuse everything."""
    image = np.fft.fftshift(np.fft.fft2(micrograph(size=2100)))[700:1400, 700:1400]
    write_mrc(Path(ROW["rlnMicrographName"]), np.fft.ifft2(np.fft.ifftshift(image)).real.astype(np.float32), 3.0)
    row = run(optics={**OPTICS, "rlnMicrographPixelSize": 3.0})
    assert 6.0 <= row["rlnCtfMaxResolution"] <= 6.6
    assert abs(row["rlnDefocusU"] - 12600.0) < 150.0
    assert row["rlnCtfIceRingDensity"] == 0.0


@pytest.mark.parametrize(("image", "message"), [
    (np.zeros((900, 900), np.float32), r"a\.mrc: .*blank"),
    (np.ones((64, 64), np.float32), r"a\.mrc: .*too small.*64 pixels"),
    (np.ones((2, 64, 64), np.float32), r"a\.mrc is a stack"),
])
def test_bad_images_are_named(project: Path, image: np.ndarray, message: str) -> None:
    write_mrc(Path(ROW["rlnMicrographName"]), image, 1.0)
    with pytest.raises(CryosnakeError, match=message):
        run()
    assert not ROOT.with_name("a.ctf").exists()


def test_nan_is_named(project: Path) -> None:
    path = Path(ROW["rlnMicrographName"])
    content = bytearray(path.read_bytes())
    content[5000:5004] = np.float32(np.nan).tobytes()
    path.write_bytes(content)
    with pytest.raises(CryosnakeError, match=r"a\.mrc: .*NaN"):
        run()


def test_missing_files_are_named(project: Path) -> None:
    with pytest.raises(CryosnakeError, match=r"gone\.mrc does not exist"):
        run({**ROW, "rlnMicrographName": "gone.mrc"})
    with pytest.raises(CryosnakeError, match=r"gone_PS\.mrc does not exist: set use_power_spectrum: false"):
        run({**ROW, "rlnCtfPowerSpectrum": "gone_PS.mrc"})
    write_mrc(Path("ps.mrc"), np.ones((512, 512), np.float32), 0.0)
    with pytest.raises(CryosnakeError, match=r"ps\.mrc: the header"):
        run({**ROW, "rlnCtfPowerSpectrum": "ps.mrc"})


@pytest.mark.parametrize(("label", "value"), [
    ("rlnVoltage", None), ("rlnVoltage", math.nan), ("rlnVoltage", 0.0), ("rlnSphericalAberration", -1.0),
    ("rlnAmplitudeContrast", 1.5), ("rlnMicrographPixelSize", None),
])
def test_missing_optics_values_are_named(project: Path, label: str, value: float | None) -> None:
    optics = {key: content for key, content in OPTICS.items() if key != label}
    if value is not None:
        optics[label] = value
    with pytest.raises(CryosnakeError, match=rf"optics group 1: {label} .*microscope"):
        run(optics=optics)


@pytest.mark.parametrize("changes", [{"dfmin": 6e4}, {"resmax": 40.0},
                                     {"phase_shift": True, "phase_min": 90.0, "phase_max": 10.0}])
def test_limits_the_wrong_way_round(project: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CryosnakeError, match="must be smaller than"):
        run(**changes)


TABLE = pd.DataFrame({"rlnDefocusU": [12000.0, 30000.0, 9000.0], "rlnDefocusV": [11000.0, 29900.0, 8900.0],
                      "rlnCtfFigureOfMerit": [0.1, 0.01, math.nan], "rlnCtfMaxResolution": [4.0, 9.0, 3.0]})


def test_gate_gives_every_reason() -> None:
    reasons = gate(TABLE, options(min_defocus=10000.0, max_defocus=20000.0, max_astigmatism=500.0))
    assert reasons[0] == "astigmatism 1000 Å is above 500 Å"
    assert reasons[1] == ("fit resolution 9 Å is above 5 Å; figure of merit 0.01 is below 0.025; "
                          "mean defocus 2.995e+04 Å is above 20000 Å")
    assert reasons[2] == "figure of merit is not a number; mean defocus 8950 Å is below 10000 Å"


def test_gate_without_limits_passes_everything() -> None:
    assert (gate(TABLE, options(max_resolution=None, min_figure_of_merit=None)) == "").all()


def test_gate_names_a_missing_column() -> None:
    with pytest.raises(CryosnakeError, match=r"ice ring density.*rlnCtfIceRingDensity"):
        gate(TABLE, options(max_ice_density=0.2))


@pytest.mark.relion
def test_relion_reads_row_and_picture(project: Path, relion: Path) -> None:
    write_star(Path("micrographs_ctf.star"), {"optics": pd.DataFrame([OPTICS]), "micrographs": pd.DataFrame([run()])})
    command = [relion / "relion_star_handler", "--i", "micrographs_ctf.star", "--o", "selected.star", "--select",
               "rlnCtfMaxResolution", "--maxval", "6"]
    subprocess.run(command, check=True, capture_output=True)
    back, ours = (read_star(Path(name))["micrographs"] for name in ("selected.star", "micrographs_ctf.star"))
    assert back["rlnDefocusU"][0] == pytest.approx(ours["rlnDefocusU"][0])
    assert "rlnCtfIceRingDensity" in back
    shown = subprocess.run([relion / "relion_image_handler", "--i", "CtfFind/job003/Movies/a.ctf:mrc", "--stats"],
                           check=True, capture_output=True, text=True)
    assert "512" in shown.stdout


def _fit_all(real_data: Path, out: Path, **changes: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = real_data / "bgal_k2_particles"
    tables = read_star(folder / "known_ctf.star")
    optics = tables["optics"].iloc[0].to_dict()
    state = ctffind.prepare(options(**changes), optics, {})
    rows = []
    for row in tables["micrographs"].to_dict("records"):
        row["rlnCtfPowerSpectrum"] = str(folder / row["rlnCtfPowerSpectrum"])
        rows.append(ctffind.process(row, optics, state, out / Path(row["rlnMicrographName"]).stem))
    return pd.DataFrame(rows), tables["micrographs"]


@pytest.mark.data
def test_real_power_spectra_against_ctffind4(real_data: Path, tmp_path: Path) -> None:
    """12 K2 spectra, published values by CTFFIND4: nothing is rejected and the rings of all are the same."""
    found, known = _fit_all(real_data, tmp_path)
    assert len(found) == 12
    difference = 0.5 * (found["rlnDefocusU"] + found["rlnDefocusV"] - known["rlnDefocusU"] - known["rlnDefocusV"]).abs()
    assert difference.max() < 60.0  # asked: 150
    assert difference.median() < 40.0
    for label in ("rlnDefocusU", "rlnDefocusV"):
        assert (found[label] - known[label]).abs().max() < 100.0
    turn = (found["rlnDefocusAngle"] - known["rlnDefocusAngle"] + 90.0) % 180.0 - 90.0
    assert turn.abs().max() < 10.0
    assert (found["rlnCtfMaxResolution"] / known["rlnCtfMaxResolution"] - 1.0).abs().max() < 0.2
    assert found["rlnCtfFigureOfMerit"].min() > 0.06
    assert found["rlnCtfIceRingDensity"].between(0.0, 0.06).all()  # vitreous ice


@pytest.mark.data
def test_gate_refuses_the_wrong_values_of_another_run(real_data: Path) -> None:
    """The RELION 5 project's values (31,000 to 50,000 Å) are wrong; the published ones of the same movies pass."""
    wrong = read_star(real_data / "relion50_project_bgal/CtfFind/job005/micrographs_ctf.star")["micrographs"]
    assert len(wrong) == 24
    assert (gate(wrong, options()) != "").all()
    right = read_star(real_data / "bgal_k2_particles/known_ctf.star")["micrographs"]
    assert (gate(right, options()) == "").all()


@pytest.mark.data
@pytest.mark.parametrize(("movie", "defocus"), [("00022", 9712.0), ("00026", 8224.0)])
def test_micrographs_rebuilt_from_particles(real_data: Path, tmp_path: Path, movie: str, defocus: float) -> None:
    """A quarter of each is filled with noise and Nyquist is at 7.1 Å, yet the mean defocus is within 150 Å."""
    name = real_data / f"micrographs/bgal_mosaic/20170629_{movie}_mosaic.mrc"
    optics = {**OPTICS, "rlnVoltage": 200.0, "rlnSphericalAberration": 1.4, "rlnMicrographPixelSize": 3.54}
    state = ctffind.prepare(options(), optics, {})
    row = ctffind.process({"rlnMicrographName": str(name), "rlnOpticsGroup": 1}, optics, state, tmp_path / "m")
    assert abs(0.5 * (row["rlnDefocusU"] + row["rlnDefocusV"]) - defocus) < 150.0
