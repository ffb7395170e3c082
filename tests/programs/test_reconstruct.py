"""Reconstruction from known poses: simulated truth, and the real particles of target (c)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.images import fourier_pixels
from cryosnake.numerics.refine.grids.samples import split
from cryosnake.numerics.refine.sums.insertion import empty_sums, insert_slices
from cryosnake.numerics.refine.sums.least_squares import least_squares_map
from cryosnake.numerics.refine.sums.maximisation import finish_sums
from cryosnake.numerics.symmetry import operators
from cryosnake.programs.refinement.execution import stack_images
from cryosnake.programs.refinement.particles import ParticleSet, read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

_BLOCK = 256


def backproject(particles: ParticleSet, rows: np.ndarray) -> np.ndarray:
    """Return sums (threads, …) of the images of `rows` at the poses that the STAR file gives."""
    band, images_of = full_band(particles.box), stack_images(particles)
    sums = empty_sums(particles.box // 2)[None]
    poses, offsets = particles.poses(), particles.offsets()
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK]
        images = fourier_pixels(images_of(block), band) * band.phases(offsets[block])
        ctf = particles.ctf(block, band)
        weighted = images * ctf
        insert_slices(sums, poses[block], band.kx, band.ky, split(weighted), ctf**2)
    return sums


def reconstruct(path: str | Path, out: str | Path, symmetry: str = "C1") -> dict[str, Path]:
    """Write `<out>_class001.mrc`, and with half sets `<out>_half1_class001_unfil.mrc` and half2; return the paths.

    No job needs a plain back-projection: it shows here that the engine's sums and maps are right by themselves.
    """
    particles = read_particles(path)
    group, halves = operators(symmetry), particles.column("rlnRandomSubset").astype(int)
    parts = {f"half{h}": np.flatnonzero(halves == h) for h in (1, 2)} if {1, 2} <= set(halves) else {}
    written, total = {}, None
    for name, rows in (parts or {"map": np.arange(len(particles))}).items():
        sums = finish_sums(backproject(particles, rows), group)
        total = sums if total is None else total + sums
        if name != "map":
            written[name] = _write(sums, particles, Path(f"{out}_{name}_class001_unfil.mrc"))
    assert total is not None
    written["map"] = _write(total, particles, Path(f"{out}_class001.mrc"))
    return written


def _write(sums: np.ndarray, particles: ParticleSet, path: Path) -> Path:
    write_mrc(path, least_squares_map(sums, particles.box // 2, particles.box), particles.pixel_size)
    return path


def test_known_poses_give_the_true_map(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulate_particles(tmp_path,
                       StackSettings(count=300, box=32, pixel_size=6.0, snr=0.5, symmetry="C1", residues=600, seed=2))
    written = reconstruct("truth/particles.star", "run")
    assert set(written) == {"map"}
    found, truth = read_mrc("run_class001.mrc")[0], read_mrc("truth/map.mrc")[0]
    assert fsc(found, truth)[1:10].min() > 0.9  # 21 Å
    mirror = np.roll(found[::-1], 1, axis=0)
    assert fsc(mirror, truth)[5:12].mean() < 0.4


def test_half_sets_give_half_maps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulate_particles(tmp_path,
                       StackSettings(count=200, box=24, pixel_size=7.0, snr=1.0, symmetry="D2", residues=240, seed=2))
    tables = read_star("truth/particles.star")
    tables["particles"]["rlnRandomSubset"] = 1 + np.arange(200) % 2
    write_star("halves.star", tables)
    written = reconstruct("halves.star", "run", "D2")
    first, second, both = (read_mrc(written[name])[0] for name in ("half1", "half2", "map"))
    assert fsc(first, second)[1:8].min() > 0.8
    np.testing.assert_allclose(0.5 * (first + second), both, atol=0.3 * both.max())


def test_without_particles_there_is_no_map(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.star").write_text("data_optics\n\nloop_\n_rlnOpticsGroup #1\n1\n\ndata_particles\n\nloop_\n"
                                         "_rlnImageName #1\n_rlnOpticsGroup #2\n")
    with pytest.raises(CryosnakeError, match=r"empty\.star.*no rows"):
        reconstruct("empty.star", "run")


def namings(volume):
    """The six ways to name the two-fold axes: rotations of the map about its origin."""
    for axes in itertools.permutations(range(3)):
        turned = volume.transpose(axes)
        odd = np.linalg.det(np.eye(3)[list(axes)]) < 0
        yield np.roll(turned[::-1], 1, axis=0) if odd else turned


@pytest.mark.data
def test_beta_galactosidase_from_its_known_poses(real_data, tmp_path, monkeypatch):
    """Target (c): a direct reconstruction gives 0.942 to 12 Å and 0.897 to 8 Å, its mirror image 0.35."""
    monkeypatch.chdir(real_data / "bgal_k2_particles")
    reconstruct("known_poses.star", tmp_path / "run", "D2")
    found = read_mrc(tmp_path / "run_class001.mrc")[0]
    truth = read_mrc(real_data / "models" / "5a1a_box64_3.54A.mrc")[0]
    smooth = gaussian_filter(truth, 2)
    distance = distance_transform_edt(~binary_dilation(smooth > 0.25 * np.percentile(smooth, 99.8), iterations=2))
    mask = 0.5 * (1 + np.cos(np.pi * np.clip(distance / 4, 0, 1)))

    def agreement(volume, resolution):
        curve = max((fsc(v * mask, truth * mask) for v in namings(volume)), key=lambda c: c[1:19].mean())
        return curve[1 : int(64 * 3.54 / resolution) + 1].mean()

    assert agreement(found, 12.0) >= 0.93
    assert agreement(found, 8.0) >= 0.88
    assert agreement(np.roll(found[::-1], 1, axis=0), 12.0) < 0.5
    halves = [read_mrc(tmp_path / f"run_half{half}_class001_unfil.mrc")[0] for half in (1, 2)]
    # without a mask, which lies along the truth's axes and not the halves'
    assert fsc(*halves)[: int(64 * 3.54 / 9.0) + 1].min() > 0.143
