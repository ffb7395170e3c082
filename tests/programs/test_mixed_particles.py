"""Particles of several boxes and pixel sizes, premultiplied ones, and CTF scales and B-factors of each particle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_images, read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.refine3d import JOB
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.images import fourier_pixels
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.refinement.execution import stack_images
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

STACK = StackSettings(count=100, per_micrograph=10, box=32, pixel_size=4.0, snr=1.0, symmetry="D2", residues=400,
                      seed=2, shift=4.0)


def refined(star, out):
    """Return the map of a short refinement, and the mean FSC with the truth from 16 to 8.5 Å."""
    options = JOB.options(particle_diameter=90.0, initial_lowpass=12.0, sampling="7.5 degrees", symmetry="D2",
                          max_iterations=1, offset_range=3.0)
    (out := star.parent / out).mkdir()
    refine3d.run(options, {"particles": star, "reference": star.parent / "truth/map.mrc"}, out,
                 lambda done, total, message: None)
    found = read_mrc(out / "run_class001.mrc")[0]
    return found, fsc(found, read_mrc(star.parent / "truth/map.mrc")[0])[8:16].mean()


def times_ctf(star, out, **changed):
    """Write particles whose images are multiplied by their CTFs."""
    particles = read_particles(star)
    band = full_band(particles.box)
    everyone = np.arange(len(particles))
    images = read_images(particles.table["rlnImageName"].tolist())
    transforms = np.fft.rfft2(images)
    ky, kx = band.ky.astype(int) % particles.box, band.kx.astype(int)
    factor = np.zeros(transforms.shape, np.float32)
    factor[:, ky, kx] = particles.ctf(everyone, band)
    factor[:, -ky % particles.box, 0] = factor[:, ky, 0]
    write_mrc(star.parent / f"{out}.mrcs", np.fft.irfft2(transforms * factor).astype(np.float32), 4.0, stack=True)
    table = particles.table.assign(rlnImageName=[f"{i + 1:06d}@{out}.mrcs" for i in everyone], **changed)
    write_star(star.parent / f"{out}.star", {
        "optics": particles.tables["optics"].assign(rlnCtfDataAreCtfPremultiplied=1), "particles": table})
    return star.parent / f"{out}.star"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_particles(folder, STACK)
    return folder


@pytest.fixture(scope="module")
def usual(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return refined(folder / "particles.star", "usual")


def noise_of(folder, out):
    tables = read_star(folder / out / "run_it001_half1_model.star")
    return tables["model_optics_group_1"]["rlnSigma2Noise"].to_numpy(float)


def test_premultiplied_images_give_the_same_map_and_noise(folder, usual, monkeypatch):
    monkeypatch.chdir(folder)
    found, agreement = refined(times_ctf(folder / "particles.star", "premultiplied"), "of_premultiplied")
    assert agreement > usual[1] - 0.03
    assert fsc(found, usual[0])[1:].min() > 0.9
    ratio = noise_of(folder, "of_premultiplied") / noise_of(folder, "usual")
    assert np.abs(np.log(ratio[2:16])).max() < 0.2


def test_images_cut_out_after_they_were_multiplied_are_as_good(folder, usual, monkeypatch):
    """As RELION makes them, in a larger box than they are used in, which keeps what the CTF spreads beyond that."""
    monkeypatch.chdir(folder)
    simulate_particles(folder / "large", replace(STACK, box=56, prefix="large/"))
    large = times_ctf(folder / "large/particles.star", "multiplied")
    images, tables = read_mrc("large/multiplied.mrcs")[0], read_star(large)
    write_mrc("cut.mrcs", np.ascontiguousarray(images[:, 12:44, 12:44]), 4.0, stack=True)
    rows = tables["particles"].assign(rlnImageName=[f"{number:06d}@cut.mrcs" for number in range(1, 101)])
    write_star("cut.star", {"optics": tables["optics"].assign(rlnImageSize=32), "particles": rows})
    assert refined(folder / "cut.star", "of_cut")[1] > usual[1] - 0.03


def two_grids(folder, count):
    """Write a table of the particles, the last `count` of them simulated with another box and pixel size."""
    coarse = folder / "coarse"
    simulate_particles(coarse, replace(STACK, box=48, pixel_size=3.1, prefix="coarse/"))
    first, second = (read_star(part / "truth/particles.star") for part in (folder, coarse))
    rows = pd.concat([first["particles"].iloc[:-count], second["particles"].iloc[-count:].assign(rlnOpticsGroup=2)])
    optics = pd.concat([first["optics"], second["optics"].assign(rlnOpticsGroup=2, rlnOpticsGroupName="other")])
    write_star(folder / "two.star", {"optics": optics, "particles": rows})
    return folder / "two.star"


def test_images_of_two_boxes_and_pixel_sizes_are_refined_together(folder, usual, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    star = two_grids(folder, 40)
    found, agreement = refined(star, "of_two")
    assert "Resampled to 32 px of 4 Å: 40 of 48 px of 3.1 Å" in capsys.readouterr().out
    assert agreement > usual[1] - 0.05
    assert fsc(found, usual[0])[1:].min() > 0.7
    table = read_star(folder / "of_two/run_data.star")
    assert table["optics"]["rlnImagePixelSize"].tolist() == [4.0, 3.1]  # as the images are
    true, origins = read_star(star)["particles"], ["rlnOriginXAngst", "rlnOriginYAngst"]
    moved = np.linalg.norm(table["particles"][origins].to_numpy() - true[origins].to_numpy(), axis=1)
    assert np.median(moved[60:]) < np.median(moved[:60]) + 0.5  # Å, of the images on disk


def test_resampled_images_are_those_of_the_other_pixel_size(folder, monkeypatch):
    monkeypatch.chdir(folder)
    simulate_particles(folder / "fine", replace(STACK, count=6, box=48, pixel_size=3.0, snr=1e6, prefix="fine/"))
    simulate_particles(folder / "wide", replace(STACK, count=6, box=40, pixel_size=4.0, snr=1e6, prefix="wide/"))
    fine, wide = read_star("fine/particles.star"), read_star("wide/particles.star")
    both = pd.concat([wide["particles"], fine["particles"].iloc[:4].assign(rlnOpticsGroup=2)])
    optics = pd.concat([wide["optics"], fine["optics"].assign(rlnOpticsGroup=2)])
    write_star("both.star", {"optics": optics, "particles": both})
    particles = read_particles("both.star")
    assert (particles.box, particles.pixel_size) == (40, 4.0)
    images, disc = stack_images(particles)(np.arange(10)), particles.disc(100.0)
    band = full_band(40).cut(36)
    wide, fine = (fourier_pixels(part * disc, band) for part in (images[:4], images[6:]))
    agreement = (wide * fine.conj()).real.sum() / np.sqrt((abs(wide) ** 2).sum() * (abs(fine) ** 2).sum())
    assert agreement > 0.99


def test_a_particle_must_fit_into_every_box(folder, monkeypatch):
    monkeypatch.chdir(folder)
    tables = read_star("particles.star")
    small = tables["optics"].assign(rlnImageSize=20, rlnOpticsGroup=2)
    write_star("small.star", {"optics": pd.concat([tables["optics"], small]), "particles": tables["particles"].assign(
        rlnOpticsGroup=[1] * 70 + [2] * 30)})
    with pytest.raises(CryosnakeError, match=r"smaller than the box of .*, 20 × 4 = 80 Å"):
        refined(folder / "small.star", "of_small")


@pytest.mark.parametrize(("column", "values"), [("rlnCtfBfactor", np.linspace(0.0, 600.0, 100)),
                                                ("rlnCtfScalefactor", np.linspace(0.2, 1.8, 100))])
def test_the_ctf_of_each_particle_has_its_scale_and_b_factor(folder, monkeypatch, column, values):
    monkeypatch.chdir(folder)
    tables = read_star("particles.star")
    write_star("own.star", tables | {"particles": tables["particles"].assign(**{column: values})})
    band, rows = full_band(32), np.arange(100)
    usual, own = (read_particles(star).ctf(rows, band) for star in ("particles.star", "own.star"))
    squared = (band.kx**2 + band.ky**2) / (32 * 4.0) ** 2
    factor = np.exp(-0.25 * values[:, None] * squared) if column == "rlnCtfBfactor" else values[:, None]
    np.testing.assert_allclose(own, usual * factor, atol=1e-5)
