"""Class2D: averages of simulated views, empty classes, resuming, bad input, RELION as a client, the real particles."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.class2d import JOB
from cryosnake.numerics.backend import choose_device
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.programs.class2d import recipe as class2d
from cryosnake.programs.refinement.particles import read_particles

BOX, PIXEL, VIEWS = 32, 5.0, 3


def options(**changed):
    return JOB.options(**{"particle_diameter": 120.0, "iterations": 8, "classes": 6} | changed)


def classify(progress=lambda done, total, message: None, particles="particles.star", **changed):
    class2d.run(options(**changed), {"particles": particles}, "out", progress)


def views():
    """Three plain shapes, (views, box, box): a bar, an L, a ring."""
    axis = np.arange(BOX) - BOX // 2
    x, y = axis[None, :], axis[:, None]
    bar = (abs(x) < 8) & (abs(y) < 3)
    corner = ((abs(x + 4) < 3) & (abs(y) < 8)) | ((abs(x) < 7) & (abs(y - 6) < 3))
    ring = (np.hypot(x, y) < 8) & (np.hypot(x, y) > 4)
    soft = np.exp(-0.1 * np.minimum(axis**2, 300))
    kernel = np.fft.rfft2(np.fft.ifftshift(soft[:, None] * soft))
    return np.stack([np.fft.irfft2(np.fft.rfft2(view) * kernel, s=(BOX, BOX)) / kernel[0, 0].real
                     for view in (bar, corner, ring)])


def likeness(image, template):
    """Largest correlation coefficient over all turns and shifts."""
    best, own = 0.0, np.fft.rfft2(image - image.mean())
    for psi in range(0, 360, 6):
        turned = rotated(template, psi, (0, 0))
        other = np.fft.rfft2(turned - turned.mean())
        best = max(best, np.fft.irfft2(own * other.conj()).max() / (image.std() * turned.std() * image.size))
    return best


def rotated(image, psi, shift):
    """The image whose pose is psi and whose centre lies at `shift` (x, y)."""
    from scipy.ndimage import map_coordinates

    axis = np.arange(BOX) - BOX // 2
    x, y = np.meshgrid(axis - shift[0], axis - shift[1])
    matrix = euler_to_matrix(np.array(0.0), np.array(0.0), np.array(psi))
    across, down = matrix[0, 0] * x + matrix[1, 0] * y, matrix[0, 1] * x + matrix[1, 1] * y
    return map_coordinates(image, [down + BOX // 2, across + BOX // 2], order=1)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("class2d"), 240)


def simulate(folder, count):
    """Write `count` particles of the three views, and truth.npz; return the folder."""
    rng, templates = np.random.default_rng(2), views()
    view, psi = np.arange(count) % VIEWS, rng.uniform(-180, 180, count)
    shift = rng.normal(0, 1.0, (count, 2))
    images = np.stack([rotated(templates[v], p, s) for v, p, s in zip(view, psi, shift, strict=True)])
    images += rng.normal(0, 0.8, images.shape)
    write_mrc(folder / "particles.mrcs", images.astype(np.float32), PIXEL, stack=True)
    write_star(folder / "particles.star", {
        "optics": _frame(rlnOpticsGroup=[1], rlnOpticsGroupName=["one"], rlnImagePixelSize=[PIXEL], rlnImageSize=[BOX],
                         rlnImageDimensionality=[2], rlnVoltage=[300.0], rlnSphericalAberration=[2.7],
                         rlnAmplitudeContrast=[0.1]),
        "particles": _frame(rlnImageName=[f"{i:06d}@particles.mrcs" for i in range(1, count + 1)],
                            rlnMicrographName=[f"m{i // 60}.mrc" for i in range(count)], rlnOpticsGroup=[1] * count,
                            rlnDefocusU=[1e4] * count, rlnDefocusV=[1e4] * count, rlnDefocusAngle=[0.0] * count)})
    np.savez(folder / "truth.npz", view=view, psi=psi, shift=shift)
    return folder


def _frame(**columns):
    import pandas as pd

    return pd.DataFrame(columns)


@pytest.fixture
def project(simulated, tmp_path, monkeypatch):
    for name in ("particles.star", "particles.mrcs"):
        (tmp_path / name).symlink_to(simulated / name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    return tmp_path


def test_views_are_told_apart_and_averages_match(project, simulated, capsys):
    classify(ctf=False)
    truth = np.load(simulated / "truth.npz")
    data = read_star("out/run_it008_data.star")["particles"]
    classes = data["rlnClassNumber"].to_numpy()
    majority = sum(np.bincount(truth["view"][classes == k]).max() for k in np.unique(classes))
    assert majority / len(classes) > 0.9
    averages, templates = read_mrc("out/run_it008_classes.mrcs")[0], views()
    for number, template in enumerate(templates):
        own = [k for k in np.unique(classes) if np.bincount(truth["view"][classes == k]).argmax() == number]
        assert max(likeness(averages[k - 1], template) for k in own) > 0.9
    model = read_star("out/run_it008_model.star")
    assert model["model_classes"]["rlnClassDistribution"].sum() == pytest.approx(1.0, abs=1e-4)
    assert model["model_general"]["rlnReferenceDimensionality"].iloc[0] == 2
    assert len([name for name in model if name.startswith("model_class_")]) == 6
    said = capsys.readouterr().out
    assert "iteration   8: best class" in said
    for number, resolution in enumerate(model["model_classes"]["rlnEstimatedResolution"], 1):  # one for each class
        line = next((line for line in said.splitlines() if line.startswith(f"class {number:3d}:")), "")
        assert not line or f" {resolution:5.1f} Å, score" in line
    assert model["model_general"]["rlnCurrentResolution"].iloc[0] == pytest.approx(
        model["model_classes"]["rlnEstimatedResolution"].min())


def test_offsets_centre_the_particles(project, simulated):
    classify(ctf=False, classes=3)
    truth, found = np.load(simulated / "truth.npz"), read_particles("out/run_it008_data.star", need_ctf=False)
    ring = truth["view"] == 2  # its centre is plain whatever the rotation
    error = found.offsets()[ring] + truth["shift"][ring]
    assert np.median(np.linalg.norm(error, axis=1)) < 1.2


def test_the_same_seed_gives_the_same_and_a_killed_run_goes_on(project):
    def stop(done, total, message):
        if message == "iteration 4":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classify(progress=stop, iterations=5)
    renamed = lambda done, total, message: None  # noqa: E731
    renamed.root_name = "run_ct3"
    classify(renamed, iterations=5, continue_from="out/run_it003_optimiser.star")
    resumed = read_mrc("out/run_ct3_it005_classes.mrcs")[0]
    assert not Path("out/run_it005_classes.mrcs").exists() and Path("out/run_ct3_it005.png").exists()
    general = read_star("out/run_ct3_it005_optimiser.star")["optimiser_general"].iloc[0]
    assert general["rlnOutputRootName"] == "out/run_ct3" and "run_ct3_it005" in general["rlnModelStarFile"]
    classify(iterations=5)
    whole = read_mrc("out/run_it005_classes.mrcs")[0]
    assert np.corrcoef(resumed.ravel(), whole.ravel())[0, 1] > 0.999
    with pytest.raises(CryosnakeError, match="has 6 classes, the job asks for 5"):
        classify(iterations=5, classes=5, continue_from="out/run_it003_optimiser.star")


def test_more_classes_than_are_needed_stay_finite(project):
    classify(ctf=False, classes=40, iterations=4)
    assert np.isfinite(read_mrc("out/run_it004_classes.mrcs")[0]).all()
    assert np.isfinite(read_star("out/run_it004_model.star")["model_classes"]["rlnEstimatedResolution"]).all()


def test_mini_batches_find_the_same_averages(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(simulate(tmp_path, 960))
    Path("out").mkdir()
    classify(ctf=False, method="gradient", iterations=12)
    assert "mini-batches of 49 particles and more, then all: 5.8 passes instead of 12" in capsys.readouterr().out
    averages, truth = read_mrc("out/run_it012_classes.mrcs")[0], np.load("truth.npz")
    number = read_star("out/run_it012_data.star")["particles"]["rlnClassNumber"].to_numpy()
    for view, template in enumerate(views()):
        members = np.bincount(number[truth["view"] == view], minlength=7)[1:]
        assert likeness(averages[members.argmax()], template) > 0.9, f"view {view}"
    purest = sum(np.bincount(truth["view"][number == k]).max() for k in np.unique(number))
    assert purest > 0.9 * len(number)


def test_mini_batches_go_on_after_a_kill(project):
    classify(ctf=False, method="gradient", iterations=12)
    whole = read_star("out/run_it012_data.star")["particles"]
    classify(ctf=False, method="gradient", iterations=12, continue_from="out/run_it005_optimiser.star")
    resumed = read_star("out/run_it012_data.star")["particles"]
    likelihood = [table["rlnLogLikeliContribution"].mean() for table in (whole, resumed)]
    assert abs(likelihood[1] - likelihood[0]) < 3.0


def test_the_resolution_of_a_class_is_an_honest_one(project, simulated):
    """At the resolution that the last model.star claims the averages still agree with the true views.

    What is claimed needs an FRC of 0.3 between half averages, so 0.68 with the truth; one class's FRC over two rings of
    some 15 pixels each is uncertain by 0.2, the mean over the classes is not.
    """
    classify(ctf=False, iterations=12)
    averages = read_mrc("out/run_it012_classes.mrcs")[0]
    number = read_star("out/run_it012_data.star")["particles"]["rlnClassNumber"].to_numpy()
    claimed = read_star("out/run_it012_model.star")["model_classes"]["rlnEstimatedResolution"].to_numpy()
    found = []
    for k in range(6):
        members = np.load(simulated / "truth.npz")["view"][number == k + 1]
        if len(members) >= 20 and np.bincount(members).max() > 0.9 * len(members):
            shell = int(BOX * PIXEL / claimed[k] + 1e-6)
            assert 3 <= shell <= BOX // 2
            found.append(best_ring_correlation(averages[k], views()[np.bincount(members).argmax()], shell))
    assert len(found) >= 3 and np.mean(found) > 0.5, found


def best_ring_correlation(image, template, shell):
    """Mean Fourier ring correlation of shells `shell` − 1 and `shell` where the template lies best on the image."""
    radius = np.hypot(np.fft.fftfreq(BOX, 1 / BOX)[:, None], np.fft.fftfreq(BOX, 1 / BOX))
    rings, own = [np.rint(radius) == s for s in (shell - 1, shell)], np.fft.fft2(image)

    def product(psi, x, y):
        other = np.fft.fft2(rotated(template, psi, (x, y)))
        return (own * other.conj()).real, np.abs(other) ** 2

    def best(turns, shifts):
        return max((product(*pose)[0][radius < 6].sum(), pose) for pose in
                   ((psi, x, y) for psi in turns for x in shifts[0] for y in shifts[1]))[1]

    psi, x, y = best(range(0, 360, 6), ([0], [0]))
    for step in (1.0, 0.5):
        near = step * np.arange(-2, 3)
        psi, x, y = best([psi], (x + near, y + near))
        psi, x, y = best(psi + 3 * near, ([x], [y]))
    cross, power = product(psi, x, y)
    return np.mean([cross[r].sum() / np.sqrt((np.abs(own[r]) ** 2).sum() * power[r].sum()) for r in rings])


def test_all_particles_in_one_micrograph(project):
    tables = read_star("particles.star")
    tables["particles"]["rlnMicrographName"] = "one.mrc"
    write_star("alone.star", tables)
    classify(particles="alone.star", ctf=False, iterations=3)
    model = read_star("out/run_it003_model.star")
    assert len(model["model_groups"]) == 1 and np.isfinite(model["model_classes"]["rlnClassScore"]).all()


def test_bad_input_is_refused(project):
    with pytest.raises(CryosnakeError, match="classes is 300"):
        classify(classes=300)
    if choose_device("auto") == "cpu":
        with pytest.raises(CryosnakeError, match="device: gpu"):
            classify(device="gpu")
    with pytest.raises(CryosnakeError, match="smaller than the box"):
        classify(particle_diameter=200.0)
    tables = read_star("particles.star")
    write_star("one.star", tables | {"particles": tables["particles"].iloc[:1]})
    classify(particles="one.star", classes=1, iterations=2)
    assert np.isfinite(read_mrc("out/run_it002_classes.mrcs")[0]).all()


@pytest.mark.relion
def test_relion_continues_our_classification(project, relion):
    classify(iterations=2, classes=3, psi_step=12.0)
    done = subprocess.run([relion / "relion_refine", "--continue", "out/run_it002_optimiser.star", "--o", "out/run",
                           "--iter", "3"], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = read_star("out/run_it003_data.star")["particles"].set_index("rlnImageName")
    ours = read_star("out/run_it002_data.star")["particles"].set_index("rlnImageName")
    same = (theirs["rlnClassNumber"] == ours["rlnClassNumber"].loc[theirs.index]).mean()
    assert same > 0.5


@pytest.mark.data
@pytest.mark.slow
def test_beta_galactosidase_classes_look_like_its_projections(real_data, tmp_path, monkeypatch):
    """Target (d): the largest class averages correlate with projections of the known structure."""
    from cryosnake.numerics.refine.grids.bands import full_band
    from cryosnake.numerics.refine.grids.grids import sphere_grid
    from cryosnake.numerics.refine.grids.images import fourier_pixels
    from cryosnake.numerics.refine.grids.references import map_reference

    monkeypatch.chdir(real_data / "bgal_k2_particles")
    chosen = options(particle_diameter=200.0, classes=10, iterations=10)
    class2d.run(chosen, {"particles": "known_poses.star"}, tmp_path, lambda *a: None)
    averages = read_mrc(tmp_path / "run_it010_classes.mrcs")[0]
    share = read_star(tmp_path / "run_it010_model.star")["model_classes"]["rlnClassDistribution"].to_numpy()
    volume = read_mrc(real_data / "models" / "5a1a_box64_3.54A.mrc")[0]
    band = full_band(64).cut(2 * int(64 * 3.54 / 20))
    real, imaginary = map_reference(volume[None], 32, sphere_grid(3, "D2")).coarse(np.arange(9216), band)
    projections = (real + 1j * imaginary)[:, 1:]
    projections /= np.linalg.norm(projections, axis=1)[:, None]
    for k in np.argsort(-share)[:3]:
        best = 0.0
        for x in range(-3, 4):
            for y in range(-3, 4):
                image = fourier_pixels(np.roll(averages[k], (y, x), (0, 1))[None], band)[0, 1:]
                best = max(best, ((projections.conj() @ image).real / np.linalg.norm(image)).max())
        assert best > 0.8
