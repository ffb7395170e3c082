"""Aberrations of the optics table: each alone spoils a map, and does not where it is applied."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs import class2d as class2d_job
from cryosnake.jobs import class3d as class3d_job
from cryosnake.jobs import initialmodel as initialmodel_job
from cryosnake.jobs.refine3d import JOB
from cryosnake.numerics.fourier_crop import resample_image
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.programs.class2d import recipe as class2d
from cryosnake.programs.class3d import recipe as class3d
from cryosnake.programs.initialmodel.images import with_small_images
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.refinement.execution import execution_of
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.simulation.aberrations import Aberrations

STACK = StackSettings(count=100, box=32, pixel_size=4.0, snr=1.0, symmetry="D2", residues=400, seed=2, shift=4.0)
ALONE = {  # phases of 2 to 3 radians at Nyquist, 8 Å
    "beam tilt": (Aberrations(beam_tilt=(60.0, -40.0)), "beam tilt"),
    "odd": (Aberrations(odd=(-800.0, 1000.0, 500.0, -400.0, 500.0, -900.0)), "odd Zernike terms"),
    "even": (Aberrations(even=(1200.0, 60.0, 1800.0, -40.0, 5000.0, 0.0, 600.0, 0.0, -4000.0)), "even Zernike terms"),
    "magnification": (Aberrations(magnification=((1.07, 0.02), (0.01, 0.93))), "anisotropic magnification"),
}


def refined(star, out):
    """Return the mean FSC with the truth from 16 to 8.5 Å of a short refinement."""
    options = JOB.options(particle_diameter=90.0, initial_lowpass=12.0, sampling="7.5 degrees", symmetry="D2",
                          max_iterations=1, offset_range=3.0)
    (out := star.parent / out).mkdir()
    refine3d.run(options, {"particles": star, "reference": star.parent / "truth/map.mrc"}, out,
                 lambda done, total, message: None)
    return fsc(read_mrc(out / "run_class001.mrc")[0], read_mrc(star.parent / "truth/map.mrc")[0])[8:16].mean()


def without_columns(star):
    tables = read_star(star)
    there = [name for name in tables["optics"] if name.startswith(("rlnBeamTilt", "rlnOdd", "rlnEven", "rlnMagMat"))]
    assert there
    write_star(star.with_name("without.star"), tables | {"optics": tables["optics"].drop(columns=there)})
    return star.with_name("without.star")


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """Agreement with the truth of particles without aberrations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("usual"))
        simulate_particles(folder, STACK)
        return refined(folder / "particles.star", "out")


@pytest.mark.parametrize("name", ALONE)
def test_each_term_alone_spoils_the_map_and_is_brought_back(tmp_path, monkeypatch, capsys, usual, name):
    monkeypatch.chdir(tmp_path)
    aberrations, words = ALONE[name]
    simulate_particles(tmp_path, replace(STACK, aberrations=aberrations))
    applied = refined(tmp_path / "particles.star", "with")
    assert f"Applied from the optics groups (particles): {words} (100)" in capsys.readouterr().out
    ignored = refined(without_columns(tmp_path / "particles.star"), "without")
    assert "Applied" not in capsys.readouterr().out
    assert applied > usual - 0.05
    assert ignored < applied - 0.1


@pytest.mark.parametrize(("columns", "words"), [
    ({"rlnOddZernike": "[0.1,x]"}, "rlnOddZernike of optics group opticsGroup1 is .0.1,x.; expected numbers such as"),
    ({"rlnBeamTiltX": "[1,2]"}, "rlnBeamTiltX of optics group .* expected one number within 100 of 0"),
    ({"rlnBeamTiltY": 1e6}, "rlnBeamTiltY .* expected one number"),
    ({"rlnMagMat11": 0.0}, "rlnMagMat11 .* is 0.*; expected one number within 0.2 of 1"),
])
def test_what_can_be_no_aberration_is_refused(tmp_path, monkeypatch, columns, words):
    monkeypatch.chdir(tmp_path)
    write_star("p.star", particles_with(columns))
    with pytest.raises(CryosnakeError, match=words):
        read_particles("p.star")


def particles_with(columns):
    optics = {"rlnOpticsGroupName": "opticsGroup1", "rlnOpticsGroup": 1, "rlnVoltage": 300.0, "rlnImageSize": 32,
              "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1, "rlnImagePixelSize": 4.0}
    rows = {"rlnImageName": ["1@a.mrcs", "2@a.mrcs"], "rlnOpticsGroup": 1, "rlnDefocusU": 1e4, "rlnDefocusV": 1e4,
            "rlnDefocusAngle": 0.0}
    return {"optics": pd.DataFrame([optics | columns]), "particles": pd.DataFrame(rows)}


@pytest.mark.parametrize("columns", [{"rlnOddZernike": "[]", "rlnBeamTiltX": "None"}, {"rlnEvenZernike": "[0,0,0]"},
                                     {"rlnMagMat00": 1.0}, {}])
def test_what_changes_nothing_is_not_applied(tmp_path, monkeypatch, columns):
    monkeypatch.chdir(tmp_path)
    write_star("p.star", particles_with(columns))
    assert read_particles("p.star").describe_applied() == ""


def test_origins_are_those_of_the_images_on_disk(tmp_path, monkeypatch):
    """A particle at x of the undistorted image is at Mᵀ x of the one on disk."""
    monkeypatch.chdir(tmp_path)
    tables = particles_with({"rlnMagMat00": 1.1, "rlnMagMat01": 0.05, "rlnMagMat10": -0.02, "rlnMagMat11": 0.9})
    seen = np.array([[1.1, 0.05], [-0.02, 0.9]]).T @ np.array([20.0, -8.0])
    write_star("p.star", tables | {"particles": tables["particles"].assign(
        rlnOriginXAngst=[seen[0], 0.0], rlnOriginYAngst=[seen[1], 0.0])})
    particles = read_particles("p.star")
    np.testing.assert_allclose(particles.offsets() * 4.0, [[20.0, -8.0], [0.0, 0.0]], atol=1e-4)
    np.testing.assert_allclose(particles.origins_of(particles.offsets()), [seen, [0.0, 0.0]], atol=1e-4)


@pytest.mark.relion
@pytest.mark.parametrize("aberrations", [
    Aberrations(odd=(-20.0, 30.0, 60.0, -30.0, 25.0, 50.0), even=(0.2, 3.0, -4.0, 5.0, 40.0, -30.0, 90.0, 50.0, -60.0),
                magnification=((1.05, 0.02), (0.01, 0.96))),
    Aberrations(beam_tilt=(15.0, -10.0), magnification=((0.97, 0.0), (0.0, 0.97)))], ids=["terms", "tilt"])
def test_relion_applies_the_same_to_simulated_particles(tmp_path, monkeypatch, relion, aberrations):
    """Beam tilt by itself: relion_reconstruct 3.1.3 passes over odd terms where the table has beam tilt as well."""
    monkeypatch.chdir(tmp_path)
    simulate_particles(tmp_path, replace(STACK, box=48, pixel_size=3.0, snr=10.0, aberrations=aberrations))
    agreement = []
    for star in ("truth/particles.star", without_columns(tmp_path / "truth/particles.star")):
        subprocess.run(["relion_reconstruct", "--i", star, "--o", "theirs.mrc", "--ctf", "--sym", "D2"], check=True,
                       capture_output=True)
        agreement.append(fsc(read_mrc("theirs.mrc")[0], read_mrc("truth/map.mrc")[0])[12:22].mean())
    assert agreement[0] > 0.9 and agreement[1] < agreement[0] - 0.2


ALL = Aberrations(beam_tilt=(20.0, -15.0), odd=(-600.0, 800.0, 400.0, -300.0, 400.0, -700.0),
                  even=ALONE["even"][0].even, magnification=ALONE["magnification"][0].magnification)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Particles with all aberrations: particles.star, without.star, truth/."""
    folder = tmp_path_factory.mktemp("everything")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_particles(folder, replace(STACK, aberrations=ALL))
        without_columns(folder / "truth/particles.star").rename(folder / "truth/without.star")
        without_columns(folder / "particles.star")
    return folder


def run(job, program, inputs, out, **changed):
    (out := Path(out)).mkdir()
    options = job.JOB.options(**{"particle_diameter": 90.0} | changed)
    program.run(options, inputs, out, lambda done, total, message: None)
    return out


def test_class3d_at_known_poses(everything, monkeypatch):
    monkeypatch.chdir(everything)
    agreement = []
    for star in ("truth/particles.star", "truth/without.star"):
        out = run(class3d_job, class3d, {"particles": star, "reference": "reference.mrc"}, f"class3d_{Path(star).stem}",
                  classes=1, iterations=2, align=False, symmetry="D2", initial_lowpass=20.0)
        curve = fsc(read_mrc(out / "run_it002_class001.mrc")[0], read_mrc("truth/map.mrc")[0])
        agreement.append(curve[6:14].mean())
    assert agreement[0] > 0.6 and agreement[1] < agreement[0] - 0.1


def test_class2d(everything, monkeypatch, capsys):
    monkeypatch.chdir(everything)
    averages = []
    for star in ("particles.star", "without.star"):
        out = run(class2d_job, class2d, {"particles": star}, f"class2d_{Path(star).stem}", classes=4, iterations=2,
                  psi_step=20.0, method="full")
        averages.append(read_mrc(out / "run_it002_classes.mrcs")[0])
    assert np.abs(averages[0] - averages[1]).max() > 0.2 * averages[0].std()
    assert capsys.readouterr().out.count("Applied from the optics groups (particles): beam tilt (100), odd Z") == 1


def test_initialmodel_works_on_corrected_images(everything, monkeypatch):
    monkeypatch.chdir(everything)
    found = []
    for star in ("particles.star", "without.star"):
        with execution_of(star, initialmodel_job.JOB.options(particle_diameter=90.0), everything) as work:
            small, rows = with_small_images(work, 20.0), np.arange(5)
            assert small.particles.box < work.particles.box
            found.append((small.images(rows), resample_image(work.images(rows), small.images(rows).shape[1:]),
                          small.particles.ctf(rows, full_band(small.particles.box))))
    np.testing.assert_allclose(found[0][0], found[0][1], atol=1e-5)
    assert all(np.abs(one - other).max() > 0.1 for one, other in zip(*found, strict=True))
