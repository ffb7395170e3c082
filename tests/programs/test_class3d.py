"""Class3D on a simulated mixture of two conformations: separation, known poses, local searches, empty classes,
resuming, bad input, and RELION as a client."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.class3d import JOB
from cryosnake.jobs.select import JOB as SELECT
from cryosnake.numerics.alignment import align_maps
from cryosnake.numerics.euler import angular_distance
from cryosnake.numerics.fsc import fsc
from cryosnake.programs.class3d import recipe as class3d
from cryosnake.programs.class3d.model import deaths, stages_of
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.select import select
from cryosnake.programs.simulate.mixture import simulate_mixture
from cryosnake.programs.simulate.particles import StackSettings
from cryosnake.simulation.conformations import swing_domain
from cryosnake.simulation.protein import pseudo_protein

BOX, PIXEL, COUNTS = 32, 6.0, (150, 100)


def options(**changed):
    usual = {"particle_diameter": 150.0, "initial_lowpass": 40.0, "sampling": "15 degrees", "classes": 2,
             "iterations": 3, "offset_range": 3.0}
    return JOB.options(**usual | changed)


def classify(particles="particles.star", reference="1/reference.mrc", progress=lambda done, total, message: None,
             mask=None, **changed):
    inputs = {"particles": particles, "reference": reference} | ({"mask": mask} if mask else {})
    class3d.run(options(**changed), inputs, "out", progress)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class3d")
    atoms = pseudo_protein("C1", 1000, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_mixture(".", [atoms, swing_domain(atoms, 60.0)], COUNTS,
                         StackSettings(box=BOX, pixel_size=PIXEL, snr=1.0, shift=4.0, per_micrograph=50))
    return folder


@pytest.fixture
def project(simulated, tmp_path, monkeypatch):
    for name in ("particles.star", "1", "2", "truth"):
        (tmp_path / name).symlink_to(simulated / name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def classified(simulated):
    """The project in which eight iterations with alignment were made from one map."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(simulated)
        (simulated / "out").mkdir()
        classify(iterations=8, sampling="7.5 degrees")
    return simulated


def counts(iteration, classes=2):
    """How many particles of each conformation (columns) are in each class (rows)."""
    found = read_star(f"out/run_it{iteration:03d}_data.star")["particles"]
    truth = read_star("truth/particles.star")["particles"].set_index("rlnImageName")["rlnClassNumber"]
    table = np.zeros((classes, 2), int)
    np.add.at(table, (found["rlnClassNumber"] - 1, truth.loc[found["rlnImageName"]].to_numpy() - 1), 1)
    return table


def separated(table):
    """Fraction of the particles that are in their own conformation's class, of the two ways to name the classes."""
    return max(table[0, 0] + table[1, 1], table[0, 1] + table[1, 0]) / table.sum()


def test_two_conformations_are_separated_from_one_map(classified, monkeypatch):
    monkeypatch.chdir(classified)
    table = counts(8)
    assert separated(table) >= 0.9
    for number in (1, 2):
        kind = int(table[number - 1].argmax()) + 1
        volume, truth = (read_mrc(name)[0] for name in (f"out/run_it008_class{number:03d}.mrc",
                                                        f"{kind}/truth/map.mrc"))
        aligned, _ = align_maps(volume, truth)
        own, other = (fsc(aligned, read_mrc(f"{which}/truth/map.mrc")[0]) for which in (kind, 3 - kind))
        assert own[1:9].mean() > 0.9 and own[3:9].mean() > other[3:9].mean() + 0.05
        # the map has less at high resolution than the truth, but what it has is on the particles' grey scale
        assert (aligned * truth).sum() / (aligned**2).sum() == pytest.approx(1.0, abs=0.15)
    found, true = read_particles("out/run_it008_data.star"), read_particles("truth/particles.star")
    assert np.median(angular_distance(found.poses(), true.poses())) < 9.0  # the last step is 7.5 degrees
    model = read_star("out/run_it008_model.star")
    share = model["model_classes"]["rlnClassDistribution"].to_numpy()
    assert share.sum() == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(share, table.sum(1) / table.sum(), atol=0.05)
    assert model["model_pdf_orient_class_2"]["rlnOrientationDistribution"].sum() == pytest.approx(share[1], abs=1e-3)


def test_classes_at_known_poses(project):
    classify("truth/particles.star", iterations=8, align=False)
    assert separated(counts(8)) >= 0.95
    found, true = read_particles("out/run_it008_data.star"), read_particles("truth/particles.star")
    np.testing.assert_allclose(found.offsets(), true.offsets(), atol=1e-4)
    assert angular_distance(found.poses(), true.poses()).max() < 1e-3
    select.run(SELECT.options(classes=[2]),
               {"particles": "out/run_it008_data.star", "model": "out/run_it008_model.star"}, "out", lambda *a: None)
    assert len(read_star("out/particles.star")["particles"]) == counts(8)[1].sum()
    averages = read_star("out/class_averages.star")[""]
    assert averages["rlnReferenceImage"].tolist() == ["out/run_it008_class002.mrc"]


def search_near_the_truth(iterations):
    """Classify from both conformations' maps, orientations searched near disturbed ones."""
    tables, rng = read_star("truth/particles.star"), np.random.default_rng(3)
    for label in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"):
        tables["particles"][label] += rng.normal(0, 8.0, len(tables["particles"]))
    write_star("near.star", tables)
    write_star("maps.star", {"": pd.DataFrame({"rlnReferenceImage": ["1/reference.mrc", "2/reference.mrc"]})})
    classify("near.star", "maps.star", iterations=iterations, sampling="7.5 degrees", local_range=30.0,
             initial_lowpass=30.0)


def test_local_searches_from_several_references(project):
    search_near_the_truth(2)
    assert np.trace(counts(2)) / sum(COUNTS) >= 0.9  # class 1 began as conformation 1
    true = read_particles("truth/particles.star").poses()
    before, after = (angular_distance(read_particles(name).poses(), true) for name in
                     ("near.star", "out/run_it002_data.star"))
    assert np.median(after) < 0.8 * np.median(before) and after.max() < 40
    share = read_star("out/run_it002_model.star")["model_classes"]["rlnClassDistribution"].to_numpy()
    np.testing.assert_allclose(share, np.array(COUNTS) / sum(COUNTS), atol=0.06)


def test_a_class_that_nothing_fits_dies_and_harms_no_other(project, capsys):
    volume, pixel = read_mrc("1/truth/map.mrc")
    write_mrc("inverted.mrc", -volume, pixel)
    names = ["1/truth/map.mrc", "inverted.mrc", "2/truth/map.mrc"]
    write_star("three.star", {"": pd.DataFrame({"rlnReferenceImage": names})})
    write_star("two.star", {"": pd.DataFrame({"rlnReferenceImage": names[::2]})})
    settings = {"align": False, "reference_absolute_greyscale": True, "iterations": 2}
    classify("truth/particles.star", "two.star", **settings)
    alone = [read_mrc(f"out/run_it002_class{number:03d}.mrc")[0] for number in (1, 2)]
    classify("truth/particles.star", "three.star", classes=3, **settings)
    assert counts(2, classes=3)[1].sum() == 0
    assert "next to none are in class 2 (0)" in capsys.readouterr().out
    dead, *living = (read_mrc(f"out/run_it002_class{number:03d}.mrc")[0] for number in (2, 1, 3))
    assert not dead.any()
    for found, expected in zip(living, alone, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())
    model = read_star("out/run_it002_model.star")
    assert model["model_classes"]["rlnClassDistribution"].iloc[1] == 0
    assert all(np.isfinite(table.select_dtypes("number")).all().all() for table in model.values()
               if isinstance(table, pd.DataFrame))
    # a search over all orientations, and over those near the last, leaves it dead too
    for more in ({"local_range": 10.0}, {"align": True}):
        classify("truth/particles.star", "three.star", classes=3, **settings | {"align": True, "iterations": 3} | more,
                 continue_from="out/run_it002_optimiser.star" if "local_range" in more else None)
        assert counts(3, classes=3)[1].sum() == 0 and not read_mrc("out/run_it003_class002.mrc")[0].any()


@pytest.mark.parametrize(("counts_of", "said"), [
    ([600, 400], ""), ([580, 12, 408], ""), ([999, 1], "all classes but one have died"),
    ([500, 3, 497], r"next to none are in class 2 \(3\)"), ([0, 1000, 0], r"class 1 \(0\), class 3 \(0\). Nothing")])
def test_a_collapse_is_said(counts_of, said):
    assert re.search(said, deaths(np.array(counts_of))) if said else not deaths(np.array(counts_of))


def test_the_same_seed_gives_the_same_and_a_killed_run_goes_on(project):
    def stop(done, total, message):
        if message == "iteration 3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classify(progress=stop, zero_mask=False)
    assert not (project / "out/run_it003_optimiser.star").exists()
    classify(zero_mask=False, continue_from="out/run_it002_optimiser.star")
    resumed = read_mrc("out/run_it003_class002.mrc")[0]
    classify(zero_mask=False)
    whole = read_mrc("out/run_it003_class002.mrc")[0]
    assert np.corrcoef(resumed.ravel(), whole.ravel())[0, 1] > 0.9999
    classify(zero_mask=False, seed=2, iterations=1)
    other = read_mrc("out/run_it001_class002.mrc")[0]
    assert np.corrcoef(other.ravel(), whole.ravel())[0, 1] < 0.999
    with pytest.raises(CryosnakeError, match="has 2 classes, the job asks for 3"):
        classify(classes=3, continue_from="out/run_it002_optimiser.star")
    with pytest.raises(CryosnakeError, match="another angular sampling"):
        classify(sampling="7.5 degrees", continue_from="out/run_it002_optimiser.star")


def test_the_last_iterations_search_nearby_with_half_the_step(classified, monkeypatch):
    monkeypatch.chdir(classified)
    order = [int(read_star(f"out/run_it{number:03d}_sampling.star")["sampling_general"].iloc[0]["rlnHealpixOrder"])
             for number in (6, 7, 8)]
    assert order == [2, 3, 3]  # a third of eight iterations, rounded down
    true = read_particles("truth/particles.star").poses()
    off = [np.median(angular_distance(read_particles(f"out/run_it{number:03d}_data.star").poses(), true))
           for number in (6, 8)]
    assert off[1] < off[0] and separated(counts(8)) >= separated(counts(6))
    # more iterations go on everywhere: the prior of directions, which the last ones do not have, is even then
    classify(iterations=12, sampling="7.5 degrees", fine_iterations=3, continue_from="out/run_it008_optimiser.star")
    assert separated(counts(12)) >= 0.9


@pytest.mark.parametrize(("local_range", "expected"), [(None, 5.0), (20.0, 5.0), (6.0, 2.0)])
def test_fine_iterations_search_no_farther_than_local_range(local_range, expected):
    first, last, fine = stages_of(options(sampling="7.5 degrees", local_range=local_range, fine_iterations=9), 1)
    assert last.sigma == pytest.approx(expected) and last.order == first.order + 1 and fine == 3  # all there are


def test_masks_are_obeyed_and_the_limit_by_the_expectation_alone(project):
    axis = np.arange(BOX) - BOX // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    write_mrc("mask.mrc", np.clip((11 - radius) / 3, 0, 1), PIXEL)
    shells = int(BOX * PIXEL / 30.0)
    # references that differ beyond the limit alone are one and the same to the expectation step
    volume, pixel = read_mrc("1/truth/map.mrc")
    transform = np.fft.rfftn(volume)
    full = np.fft.fftfreq(BOX, 1 / BOX) ** 2
    beyond = np.sqrt(full[:, None, None] + full[:, None] + np.arange(BOX // 2 + 1) ** 2) > shells + 3
    write_mrc("blunt.mrc", np.fft.irfftn(transform * np.where(beyond, 0.0, 1.0), axes=(0, 1, 2)), pixel)
    write_star("two.star", {"": pd.DataFrame({"rlnReferenceImage": ["1/truth/map.mrc", "blunt.mrc"]})})
    settings = {"align": False, "initial_lowpass": 12.0, "iterations": 1, "mask": "mask.mrc",
                "reference_absolute_greyscale": True}
    certain = []
    for limit in (30.0, None):
        classify("truth/particles.star", "two.star", highres_limit=limit, **settings)
        assert np.abs(read_mrc("out/run_it001_class001.mrc")[0][radius > 11]).max() == 0
        certain.append(read_particles("out/run_it001_data.star").column("rlnMaxValueProbDistribution"))
    model = read_star("out/run_it001_model.star")
    assert model["model_class_1"]["rlnSsnrMap"][shells + 3] > 0  # the maps are made of all data
    assert np.median(certain[0]) < 0.6 and np.median(certain[1]) > 0.8


def test_maps_are_symmetric(project):
    classify("truth/particles.star", align=False, symmetry="C2", iterations=1)
    volume = read_mrc("out/run_it001_class001.mrc")[0][1:, 1:, 1:]  # the origin is in the middle of what is left
    turned = volume[:, ::-1, ::-1]
    assert volume.any() and np.abs(volume - turned).max() < 1e-3 * np.abs(volume).max()


def test_bad_input_is_refused(project):
    volume, pixel = read_mrc("1/reference.mrc")
    write_mrc("zero.mrc", 0 * volume, pixel)
    write_star("zeros.star", {"": pd.DataFrame({"rlnReferenceImage": ["1/reference.mrc", "zero.mrc"]})})
    write_star("flat.star", {"": pd.DataFrame({"rlnReferenceImage": ["000001@a.mrcs"] * 2})})
    for message, reference, changed in (
            ("no orientations", None, {"align": False}), ("no orientations", None, {"local_range": 10.0}),
            ("no orientations .* fine_iterations: 5, which is all", None, {"fine_iterations": 5}),
            ("fine_iterations sets how many", None, {"fine_iterations": 2, "align": False}),
            ("local_range sets how far", None, {"local_range": 10.0, "align": False}),
            ("lists 2 maps, the job asks for 3", "zeros.star", {"classes": 3}),
            (r"zero\.mrc: the reference is zero everywhere", "zeros.star", {}),
            ("2D classification", "flat.star", {}), ("no column rlnReferenceImage", "particles.star", {}),
            ("classes is 300", None, {"classes": 300}), ("smaller than the box", None, {"particle_diameter": 200.0}),
            ("device: gpu", None, {"device": "gpu"})):
        with pytest.raises(CryosnakeError, match=message):
            classify(reference=reference or "1/reference.mrc", **changed)


@pytest.mark.relion
def test_relion_continues_our_classification(project, relion):
    search_near_the_truth(2)
    done = subprocess.run([relion / "relion_refine", "--continue", "out/run_it002_optimiser.star", "--o", "out/run",
                           "--iter", "3"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs, ours = (read_particles(f"out/run_it{number:03d}_data.star") for number in (3, 2))
    place = np.argsort(theirs.table["rlnImageName"].to_numpy())[np.argsort(np.argsort(ours.table["rlnImageName"]))]
    assert (theirs.column("rlnClassNumber")[place] == ours.column("rlnClassNumber")).mean() > 0.9
    assert np.median(angular_distance(theirs.poses()[place], ours.poses())) < 10.0


@pytest.mark.relion
def test_relion_reads_our_model(project, relion):
    classify("truth/particles.star", align=False, iterations=1)
    done = subprocess.run([relion / "relion_star_printtable", "out/run_it001_model.star", "data_model_classes",
                           "rlnReferenceImage", "rlnClassDistribution"], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert [row[0] for row in rows] == ["out/run_it001_class001.mrc", "out/run_it001_class002.mrc"]
    assert sum(float(row[1]) for row in rows) == pytest.approx(1.0, abs=1e-4)
