"""Class2D: averages of simulated views, empty classes, resuming, bad input, RELION as a client, the real particles."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.class2d import JOB
from cryosnake.numerics.backend import choose_device
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.programs import class2d
from cryosnake.programs.particles import read_particles

BOX, PIXEL, VIEWS = 32, 5.0, 3


def options(**changed):
    values = {parameter.name: parameter.default for parameter in JOB.parameters}
    return SimpleNamespace(**values | {"particle_diameter": 120.0, "iterations": 8, "classes": 6} | changed)


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
    folder, rng = tmp_path_factory.mktemp("class2d"), np.random.default_rng(2)
    count, templates = 240, views()
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
    assert "iteration   8: best class" in capsys.readouterr().out


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
    classify(iterations=5, continue_from="out/run_it003_optimiser.star")
    resumed = read_mrc("out/run_it005_classes.mrcs")[0]
    classify(iterations=5)
    whole = read_mrc("out/run_it005_classes.mrcs")[0]
    assert np.corrcoef(resumed.ravel(), whole.ravel())[0, 1] > 0.999
    with pytest.raises(CryosnakeError, match="has 6 classes, the job asks for 5"):
        classify(iterations=5, classes=5, continue_from="out/run_it003_optimiser.star")


def test_more_classes_than_are_needed_stay_finite(project):
    classify(ctf=False, classes=40, iterations=4)
    assert np.isfinite(read_mrc("out/run_it004_classes.mrcs")[0]).all()
    assert np.isfinite(read_star("out/run_it004_model.star")["model_classes"]["rlnEstimatedResolution"]).all()


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
    from cryosnake.numerics.refine.bands import full_band
    from cryosnake.numerics.refine.grids import sphere_grid
    from cryosnake.numerics.refine.images import fourier_pixels
    from cryosnake.numerics.refine.references import map_reference

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
