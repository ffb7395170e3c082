"""Simulated projects and particle stacks: files, repeatability, and the truth against our code and RELION's."""

import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
import tifffile

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.numerics.fsc import fsc
from cryosnake.programs.simulate.command import main
from cryosnake.programs.simulate.particles import StackSettings
from cryosnake.programs.simulate.project import simulate_particles, simulate_project
from cryosnake.simulation.motion import TrueMotion, total_shift
from cryosnake.simulation.protein import pseudo_protein

SMALL = {"size": (256, 320), "frames": 4, "pixel_size": 3.0, "dose_per_frame": 5.0, "particles_per_movie": 6,
         "symmetry": "C2", "residues": 150, "box": 32, "box_pixel_size": 6.0, "seed": 4}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    simulate_project(folder, movies=3, contaminated=0.5, **SMALL)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_project_holds_what_is_promised(project: Path) -> None:
    assert set(files(project)) == {
        *(f"Movies/movie_000{i}.tiff" for i in (1, 2, 3)), *(f"truth/motion/movie_000{i}.star" for i in (1, 2, 3)),
        "gain.mrc", "reference.mrc", "truth/map.mrc", "truth/particles.star", "truth/micrographs.star",
        "truth/defects.txt"}
    frames = tifffile.imread(project / "Movies/movie_0001.tiff")
    assert frames.shape == (4, 256, 320) and frames.dtype == np.uint8
    gain, pixel_size = read_mrc(project / "gain.mrc")
    assert gain.shape == (256, 320) and pixel_size == pytest.approx(3.0)
    for name in ("reference.mrc", "truth/map.mrc"):
        volume, pixel_size = read_mrc(project / name)
        assert volume.shape == (32, 32, 32) and pixel_size == pytest.approx(6.0)


def test_mean_count_is_the_dose(project: Path) -> None:
    frames = tifffile.imread(project / "Movies/movie_0001.tiff")[:, ::-1]
    gain = read_mrc(project / "gain.mrc")[0]
    corrected = np.median(frames.mean(0) * gain)  # the median ignores ice and hot pixels
    # Medians of Poisson sums lie by up to a sixth of a count below the mean; particles and ice take some per cent.
    assert corrected == pytest.approx(5.0 * 9.0, rel=0.05)


def test_truth_is_inside_and_complete(project: Path) -> None:
    tables = read_star(project / "truth/particles.star")
    particles = tables["particles"]
    assert {"rlnCoordinateX", "rlnCoordinateY", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst",
            "rlnOriginYAngst", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnMicrographName",
            "rlnOpticsGroup"} <= set(particles)
    assert particles["rlnCoordinateX"].between(0, 320).all() and particles["rlnCoordinateY"].between(0, 256).all()
    assert particles["rlnOriginXAngst"].abs().max() <= 1.5  # half a pixel
    assert (particles.groupby("rlnMicrographName").size() == 6).all()
    micrographs = read_star(project / "truth/micrographs.star")["micrographs"]
    assert len(micrographs) == 3 and micrographs["rlnCtfAstigmatism"].between(0, 400).all()
    # Particles lie within some hundred Å of their micrograph's defocus.
    joined = particles.merge(micrographs, on="rlnMicrographName")
    assert 10 < (joined["rlnDefocusU_x"] - joined["rlnDefocusU_y"]).std() < 200


def test_local_shifts_are_those_of_the_model(project: Path) -> None:
    tables = read_star(project / "truth/motion/movie_0002.star")
    shift = tables["global_shift"][["rlnMicrographShiftX", "rlnMicrographShiftY"]].to_numpy()
    motion = TrueMotion(0 * shift, tables["local_motion_model"]["rlnMotionModelCoeff"].to_numpy(), (256, 320))
    local = tables["local_shift"]
    for row in local.iloc[[3, 10]].to_dict("records"):
        place = np.array([row["rlnCoordinateX"], row["rlnCoordinateY"]])
        expected = total_shift(motion, place, int(row["rlnMicrographFrameNumber"]) - 1)
        assert [row["rlnMicrographShiftX"], row["rlnMicrographShiftY"]] == pytest.approx(expected, abs=1e-4)


def test_same_seed_same_bytes_and_movies_can_be_added(project: Path, tmp_path: Path) -> None:
    simulate_project(tmp_path, movies=2, contaminated=0.5, **SMALL)
    simulate_project(tmp_path, movies=1, first=3, contaminated=0.5, **SMALL)
    assert files(tmp_path) == files(project)
    other = {**SMALL, "seed": 5}
    simulate_project(tmp_path, movies=1, contaminated=0.5, **other)
    assert (tmp_path / "Movies/movie_0001.tiff").read_bytes() != (project / "Movies/movie_0001.tiff").read_bytes()


def test_mrcs_holds_the_same_frames(project: Path, tmp_path: Path) -> None:
    reports = []
    simulate_project(tmp_path, movies=1, contaminated=0.5, format="mrcs", blur=0.3,
                     progress=lambda *report: reports.append(report), **SMALL)
    blurred = mrcfile.read(tmp_path / "Movies/movie_0001.mrcs")
    tiff = tifffile.imread(project / "Movies/movie_0001.tiff")[:, ::-1]
    assert blurred.shape == tiff.shape
    # Same random numbers, slightly less contrast: nearly the same counts in the same places.
    assert np.corrcoef(blurred.ravel(), tiff.ravel())[0, 1] > 0.9
    mtf = read_star(tmp_path / "mtf.star")["mtf"]
    assert mtf["rlnMtfValue"].iloc[0] == 1.0 and 0.3 < mtf["rlnMtfValue"].iloc[-1] < 0.9
    assert reports[-1] == (1, 1, "done")


@pytest.mark.parametrize(("setting", "message"), [
    ({"colour": 1}, "colour is not a setting"), ({"format": "png"}, "use tiff or mrcs"), ({"size": (255, 320)}, "odd"),
    ({"size": (32, 32)}, "no room"), ({"symmetry": "K9"}, "symmetry"),
])
def test_bad_settings_are_refused(setting: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(CryosnakeError, match=message):
        simulate_project(tmp_path, movies=1, **{**SMALL, **setting})
    with pytest.raises(CryosnakeError, match="odd"):
        simulate_particles(tmp_path, StackSettings(box=33))


def test_particles_are_normalised_and_repeat(tmp_path: Path) -> None:
    for name in ("a", "b"):
        simulate_particles(tmp_path / name, StackSettings(count=70, box=32, pixel_size=6.0, snr=0.2, symmetry="C1",
                                                          residues=200, per_micrograph=30, prefix="Extract/"))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    images = mrcfile.read(tmp_path / "a/particles.mrcs")
    y, x = np.mgrid[-16:16, -16:16]
    background = images[:, np.hypot(x, y) > 12.0]
    assert np.abs(background.mean(1)).max() < 1e-4
    assert background.std(1) == pytest.approx(1.0, abs=1e-3)
    assert images[:, np.hypot(x, y) < 3].mean() > 0.1  # white protein
    without = read_star(tmp_path / "a/particles.star")["particles"]
    assert not any(("Angle" in label and "Defocus" not in label) or "Origin" in label for label in without)
    assert without["rlnImageName"].iloc[-1] == "000070@Extract/particles.mrcs"
    assert without["rlnMicrographName"].nunique() == 3


def test_signal_to_noise_is_what_was_asked_for(tmp_path: Path) -> None:
    """Two stacks that differ in noise strength alone: the variance tells the signal's share."""
    spread = {}
    for snr in (0.25, 1000.0):
        simulate_particles(tmp_path,
                           StackSettings(count=60, box=32, pixel_size=6.0, snr=snr, symmetry="C1", residues=200))
        scale = np.abs(mrcfile.read(tmp_path / "truth/map.mrc")).max()
        spread[snr] = mrcfile.read(tmp_path / "particles.mrcs").var(), scale
    # The map is in units of the noise: √(1000 / 0.25) times smaller at the lower ratio.
    assert spread[1000.0][1] / spread[0.25][1] == pytest.approx(np.sqrt(4000.0), rel=1e-3)
    assert spread[0.25][0] == pytest.approx(1.25, abs=0.05)  # noise 1 and signal 0.25, background scaled to 1


def run(command: str, folder: Path) -> str:
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.relion
@pytest.mark.parametrize("symmetry", ["C1", "D2"])
def test_relion_reconstructs_the_true_map(symmetry: str, relion: Path, tmp_path: Path) -> None:
    """Euler angles, origins, CTF sign, hand and grey scale are RELION's."""
    atoms = pseudo_protein(symmetry, 600 if symmetry == "C1" else 250, seed=2)
    simulate_particles(tmp_path, StackSettings(count=400, box=48, pixel_size=4.5, snr=1.0, per_micrograph=20),
                       atoms=atoms)
    run(f"relion_reconstruct --i truth/particles.star --o rec.mrc --ctf --sym {symmetry}", tmp_path)
    truth, found = mrcfile.read(tmp_path / "truth/map.mrc"), mrcfile.read(tmp_path / "rec.mrc")
    curve = fsc(found, truth)
    assert curve[1:12].min() > 0.98 and curve[12:22].mean() > 0.9
    mirror = fsc(np.ascontiguousarray(np.roll(found[:, :, ::-1], 1, 2)), truth)
    assert mirror[10:22].mean() < 0.3
    assert (found * truth).sum() / (truth * truth).sum() == pytest.approx(1.0, abs=0.1)


@pytest.mark.relion
def test_relion_finds_the_true_motion(relion: Path, tmp_path: Path) -> None:
    """Sign, axes and TIFF row order of the movies, and the gain reference: RELION's own motion correction agrees."""
    simulate_project(tmp_path, movies=1, size=(768, 896), frames=8, pixel_size=1.8, dose_per_frame=5.0,
                     particles_per_movie=30, residues=800, local_motion=0.0, contaminated=0.0, seed=3)
    tables = starfile.read(tmp_path / "truth/micrographs.star")
    starfile.write({"optics": tables["optics"].drop(columns="rlnMicrographPixelSize"),
                    "movies": tables["micrographs"][["rlnMicrographMovieName", "rlnOpticsGroup"]]},
                   tmp_path / "movies.star")
    run("relion_run_motioncorr --i movies.star --o MotionCorr/ --use_own --j 1 --gainref gain.mrc --patch_x 1 "
        "--patch_y 1 --dose_per_frame 5", tmp_path)
    columns = ["rlnMicrographShiftX", "rlnMicrographShiftY"]
    truth, found = (read_star(tmp_path / where)["global_shift"][columns].to_numpy() for where in
                    ("truth/motion/movie_0001.star", "MotionCorr/Movies/movie_0001.star"))
    assert np.ptp(truth, axis=0).max() > 2.0  # there is something to find
    assert np.sqrt(((found - truth) ** 2).mean()) < 0.25  # px
    micrograph = mrcfile.read(tmp_path / "MotionCorr/Movies/movie_0001.mrc")
    rows = read_star(tmp_path / "truth/particles.star")["particles"]
    y, x = np.mgrid[:768, :896]
    near = np.zeros(micrograph.shape, bool)
    for px, py in rows[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy():
        near |= np.hypot(x - px, y - py) < 20
    # Particles are dark, and lie where the truth says and not where its mirror image says.
    spread = micrograph.std() / np.sqrt(near.sum())
    assert micrograph[near].mean() < micrograph[~near].mean() - 20 * spread
    assert abs(micrograph[near[::-1]].mean() - micrograph[~near].mean()) < 20 * spread


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main([str(tmp_path / "p"), "--preset", "tiny", "--movies", "1", "--particles", "2", "--symmetry", "C1",
                   "--residues", "100"])
    assert status == 0
    assert "1 of 1 movies" in capsys.readouterr().out
    assert tifffile.imread(tmp_path / "p/Movies/movie_0001.tiff").shape == (10, 512, 512)
    (tmp_path / "bad.pdb").write_text("data_1ABC\n")
    assert main([str(tmp_path / "q"), "--model", str(tmp_path / "bad.pdb"), "--quiet"]) == 1
    assert "no ATOM record" in capsys.readouterr().err
    assert main([str(tmp_path / "q"), "--model", str(tmp_path / "absent.pdb")]) == 1
