"""Subtract on simulated particles of two known parts, beside RELION's program; and the way back."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_images, read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import Class3DOptions, SubtractOptions
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.programs.refinement import tables
from cryosnake.programs.refinement.particles import ParticleSet, read_particles
from cryosnake.programs.refinement.state import Statistics, first_assignments
from cryosnake.programs.simulate.particles import StackSettings, _signal, simulate_particles
from cryosnake.programs.simulate.settings import silent
from cryosnake.programs.subtract.subtract import run
from cryosnake.simulation.aberrations import Aberrations
from cryosnake.simulation.atoms import Atoms
from cryosnake.simulation.density import density_from_atoms
from cryosnake.simulation.micrograph import Optics
from cryosnake.simulation.protein import pseudo_protein

BOX, PIXEL, COUNT, AWAY, B_FACTOR = 80, 2.0, 40, 32.0, 80.0
SCALE, NORM, AVERAGE = 0.8, 1.25, 0.9  # of micrographs, of images
LENS = Aberrations(beam_tilt=(1.0, -0.8), odd=(0.0, 0.0, 80.0, 0.0, 0.0, -60.0),
                   even=(0.0, 0.0, 0.0, 0.0, 250.0, 0.0, 0.0, 0.0, -200.0), magnification=((1.006, 0.0), (0.0, 0.996)))
SETTINGS = StackSettings(count=COUNT, box=BOX, pixel_size=PIXEL, aberrations=LENS, per_micrograph=20, shift=3.0)


def moved(atoms: Atoms, x: float) -> Atoms:
    return atoms._replace(positions=atoms.positions + np.array([x, 0.0, 0.0]))


KEPT, TAKEN = (moved(pseudo_protein("C1", 120, seed), x) for seed, x in ((1, AWAY), (2, -AWAY)))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two parts 64 Å apart, what would be left of them, an optimiser with the density, and the mask."""
    folder = tmp_path_factory.mktemp("subtract")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_particles(".", SETTINGS, atoms=KEPT)
        found, rng = read_star("truth/particles.star"), np.random.default_rng(4)
        optics = Optics(PIXEL, SETTINGS.microscope, b_factor=0.0, aberrations=LENS)
        kept, taken = (_signal(part, found["particles"], BOX, optics, B_FACTOR, silent) for part in (KEPT, TAKEN))
        grey = 1.0 / float(taken.std())
        noise = rng.standard_normal(kept.shape)
        images = (kept + taken) * grey * SCALE + noise
        write_mrc("particles.mrcs", (images * NORM / AVERAGE).astype(np.float32), PIXEL, stack=True)
        np.save("left.npy", (kept * grey * SCALE + noise).astype(np.float32))
        particles = found["particles"].assign(rlnRandomSubset=1 + np.arange(COUNT) % 2, rlnClassNumber=1,
                                              rlnGroupNumber=1, rlnNormCorrection=NORM, rlnOriginXPriorAngst=1.5)
        write_star("data.star", {"optics": found["optics"], "particles": particles})
        both = Atoms(*(np.concatenate(pair) for pair in zip(KEPT, TAKEN, strict=True)))
        density = density_from_atoms(both, BOX, PIXEL, B_FACTOR) * np.float32(2.0 * optics.interaction * PIXEL * grey)
        write_mrc("run_class001.mrc", density, PIXEL)
        write_mrc("mask.mrc", np.roll(soft_disc(BOX, 14.0, 2.0, dimensions=3), round(AWAY / PIXEL), 2), PIXEL)
        write_optimiser("run")
    return folder


def write_optimiser(stem: str) -> None:
    """Write the files of a classification of one class, as RELION reads them."""
    particles = read_particles("data.star")
    recipe: Any = SimpleNamespace(options=Class3DOptions(classes=1, particle_diameter=120.0), root=stem)
    statistics = Statistics(noise=np.ones((1, BOX // 2 + 1)), scale=np.full(len(particles.group_names), SCALE),
                            norm_average=AVERAGE, offset_sigma=2.0, direction=np.ones(1))
    flat, everyone = np.ones(BOX // 2 + 1), np.ones(COUNT, bool)
    write_star(f"{stem}_model.star", {
        "model_general": tables.general(particles, statistics, first_assignments(particles), 0.0, {}),
        "model_classes": tables.classes([f"{stem}_class001.mrc"], np.ones(1), np.ones(1)),
        "model_class_1": tables.of_class(particles, flat, flat, flat),
        **tables.groups_and_noise(particles, statistics, everyone),
        "model_pdf_orient_class_1": pd.DataFrame({"rlnOrientationDistribution": np.full(12, 1 / 12)})})
    write_star(f"{stem}_data.star", read_star("data.star"))
    write_star(f"{stem}_sampling.star", tables.sampling(recipe, 0, np.arange(12), (6.0, 2.0), {}))
    write_star(f"{stem}_optimiser.star", tables.optimiser(recipe, stem, [f"{stem}_model.star"], 1, {}))


def subtract(out: str, optimiser: str = "run_optimiser.star", **options: Any) -> dict[str, pd.DataFrame]:
    Path(out).mkdir(parents=True, exist_ok=True)
    run(SubtractOptions(**options), {"optimiser": optimiser, "mask": "mask.mrc"}, out, nothing)
    return read_star(f"{out}/particles_subtracted.star")


def revert(path: str, out: str = "Reverted") -> pd.DataFrame:
    Path(out).mkdir(exist_ok=True)
    run(SubtractOptions(), {"revert": path}, out, nothing)
    return read_star(f"{out}/original.star")["particles"]


def nothing(*_: object) -> None:
    pass


def images_of(found: dict[str, pd.DataFrame]) -> np.ndarray:
    return read_images(found["particles"]["rlnImageName"].tolist())


def wrong(images: np.ndarray) -> float:
    """Return what is wrong with subtracted images, in parts of what was to be taken (its deviation is SCALE)."""
    return float((images - np.load("left.npy")).std() / SCALE)


@pytest.fixture(autouse=True)
def there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def test_what_is_left_is_the_other_part(relion: Path) -> None:
    """And no more is left than of RELION's."""
    found = subtract("Subtract/job001")
    ours = wrong(images_of(found))
    command = ["--i", "run_optimiser.star", "--mask", "mask.mrc", "--o", "Relion/"]
    subprocess.run([relion / "relion_particle_subtract", *command], check=True, capture_output=True, timeout=100)
    theirs = read_star("Relion/particles_subtracted.star")
    assert ours < 0.05 and ours < wrong(images_of(theirs)) + 0.001
    assert set(found["particles"]) == set(theirs["particles"])
    assert found["particles"]["rlnImageOriginalName"].tolist() == read_star("data.star")["particles"][
        "rlnImageName"].tolist()


def test_each_particle_is_predicted_from_the_map_of_its_half() -> None:
    """Of which only the first has the density here; after the last iteration, the unfiltered maps are taken."""
    density, _ = read_mrc("run_class001.mrc")
    for half, factor in ((1, 1.0), (2, 0.5)):
        write_mrc(f"run_half{half}_class001_unfil.mrc", density * np.float32(factor), PIXEL)
    try:
        found = images_of(subtract("Subtract/job002"))
    finally:
        for half in (1, 2):
            Path(f"run_half{half}_class001_unfil.mrc").unlink()
    residual = (found - np.load("left.npy")).std((1, 2)) / SCALE
    assert residual[0::2].mean() < 0.05
    assert residual[1::2].mean() == pytest.approx(0.5, abs=0.03)


def test_revert_restores_every_column() -> None:
    before = read_star("data.star")
    for number, options in enumerate(({}, {"recentre_on_mask": True, "new_box": 48}, {"centre": [3.0, -5.0, 7.0]})):
        found = subtract(f"Subtract/job01{number}", **options)
        assert "rlnImageOriginalName" in found["particles"]
        run(SubtractOptions(), {"revert": f"Subtract/job01{number}/particles_subtracted.star"}, "Subtract", nothing)
        again = read_star("Subtract/original.star")
        for block in ("optics", "particles"):
            pd.testing.assert_frame_equal(again[block], before[block], check_exact=True)


def shown_at(particles: ParticleSet) -> np.ndarray:
    """Return where the centre of what is kept lies in the images (n, 2), Å from their centres."""
    there = particles.poses()[:, :2, 0] * AWAY @ particles.groups[0].magnification
    return np.asarray(there - np.stack([particles.column(f"rlnOrigin{axis}Angst") for axis in "XY"], 1))


def test_images_are_centred_on_the_mask_and_cut() -> None:
    """What was kept is at the centre, by the origins; poses found later are those of the whole again when reverted."""
    found = subtract("Subtract/job021", recentre_on_mask=True, new_box=48)
    table = found["particles"]
    origins = table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(float)
    assert found["optics"]["rlnImageSize"].tolist() == [48] and images_of(found).shape[1:] == (48, 48)
    assert np.abs(origins).max() <= PIXEL / 2 + 1e-6 and "rlnOriginXPriorAngst" not in table
    left, places = np.load("left.npy"), read_particles("data.star")
    centre = shown_at(places) / PIXEL
    for image, whole, (x, y), origin in zip(images_of(found), left, centre, origins, strict=True):
        x, y = round(float(x + origin[0] / PIXEL)), round(float(y + origin[1] / PIXEL))
        middle = np.roll(whole, (-y, -x), (0, 1))[32:48, 32:48]
        assert np.corrcoef(image[16:32, 16:32].ravel(), middle.ravel())[0, 1] > 0.9
    later = table.assign(rlnAngleRot=table["rlnAngleRot"] + 3.0, rlnClassNumber=2).iloc[5:20]
    later["rlnOriginXAngst"] += 1.25
    write_star("later.star", {"optics": found["optics"], "particles": later})
    back = revert("later.star")
    assert (back["rlnClassNumber"] == 2).all() and back["rlnAngleRot"].to_numpy() == pytest.approx(
        later["rlnAngleRot"].to_numpy(), abs=1e-5)
    turned = later.assign(**{label: back[label].to_numpy() for label in ("rlnOriginXAngst", "rlnOriginYAngst")})
    write_star("turned.star", {"optics": read_star("data.star")["optics"], "particles": turned})
    assert shown_at(read_particles("turned.star")) == pytest.approx(centre[5:20] * PIXEL - [1.25, 0.0], abs=1e-4)


def test_each_program_goes_back_from_what_the_other_has_subtracted(relion: Path) -> None:
    program, names = relion / "relion_particle_subtract", read_star("data.star")["particles"]["rlnImageName"].tolist()
    subtract("Subtract/job031", new_box=48)
    runs = (["--i", "run_optimiser.star", "--mask", "mask.mrc", "--new_box", "48", "--o", "Theirs/"],
            ["--revert", "Subtract/job031/particles_subtracted.star", "--o", "Theirs/"])
    for arguments in runs:
        subprocess.run([program, *arguments], check=True, capture_output=True, timeout=100)
    found = read_star("Theirs/original.star")
    assert found["particles"]["rlnImageName"].tolist() == names and found["optics"]["rlnImageSize"].tolist() == [BOX]
    assert revert("Theirs/particles_subtracted.star")["rlnImageName"].tolist() == names
    assert read_star("Reverted/original.star")["optics"]["rlnImageSize"].tolist() == [BOX]


@pytest.mark.parametrize(("inputs", "columns", "options", "said"), [
    ({}, {}, {}, "optimiser and mask missing"),
    ({"optimiser": "run_optimiser.star"}, {}, {}, "mask missing"),
    ({"revert": "data.star"}, {}, {}, "not subtracted particles"),
    ({"optimiser": "data.star", "mask": "mask.mrc"}, {}, {}, "optimiser"),
    ({"optimiser": "run_optimiser.star", "mask": "run_class001.mrc"}, {}, {}, "not a mask"),
    ({"optimiser": "run_optimiser.star", "mask": "mask.mrc"}, {}, {"new_box": 200}, "can only be cut"),
    ({"optimiser": "run_optimiser.star", "mask": "mask.mrc"}, {}, {"new_box": 47}, "must be even"),
    ({"optimiser": "run_optimiser.star", "mask": "mask.mrc"}, {"rlnAngleRot": None}, {}, "lacks rlnAngleRot"),
    ({"optimiser": "run_optimiser.star", "mask": "mask.mrc"}, {"rlnNormCorrection": 0.0}, {}, "not above 0"),
])
def test_what_cannot_be_subtracted_is_refused(tmp_path: Path, inputs: dict[str, str], columns: dict[str, Any],
                                              options: dict[str, Any], said: str) -> None:
    if columns:
        tables_, (label, value) = read_star("data.star"), next(iter(columns.items()))
        table = tables_["particles"]
        bad = table.drop(columns=label) if value is None else table.assign(**{label: value})
        write_star("bad.star", {**tables_, "particles": bad})
        inputs = {**inputs, "particles": "bad.star"}
    with pytest.raises(CryosnakeError, match=said):
        run(SubtractOptions(**options), inputs, tmp_path, nothing)
    assert not list(tmp_path.iterdir())
