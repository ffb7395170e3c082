"""Particles in micrographs and the ice about them: places, contrast transfer, Thon rings."""

import numpy as np
import pytest
import scipy.fft
from scipy import stats

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.ctf import Defocus, ctf
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.projection import central_slices, half_plane, padded_transform
from cryosnake.simulation import micrograph as mic
from cryosnake.simulation.density import density_from_atoms
from cryosnake.simulation.ice import (
    beam_profile,
    carbon_edge,
    contamination,
    ice_amplitude,
    noise_transform,
    water_memory,
)
from cryosnake.simulation.motion import TrueMotion
from cryosnake.simulation.movie import Specimen, expected_frames
from cryosnake.simulation.protein import pseudo_protein
from cryosnake.simulation.warp import MARGIN

OPTICS = mic.Optics(2.0)


def still(shape: tuple[int, int], frames: int) -> TrueMotion:
    return TrueMotion(np.zeros((frames, 2)), np.zeros(36), shape)


def test_poses_are_uniform() -> None:
    rot, tilt, psi = mic.random_poses(np.random.default_rng(1), 4000).T
    assert stats.kstest(np.cos(np.radians(tilt)), stats.uniform(-1, 2).cdf).pvalue > 0.01
    for angle in (rot, psi):
        assert stats.kstest(angle, stats.uniform(-180, 360).cdf).pvalue > 0.01


def test_particles_keep_their_distance_and_the_margin() -> None:
    places = mic.place_particles(np.random.default_rng(2), (300, 500), 20, 60.0, 40.0)
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(len(places))
    assert len(places) == 20 and distance.min() >= 60.0
    assert places.min() >= 40.0 and places[:, 0].max() <= 459.0 and places[:, 1].max() <= 259.0
    assert len(mic.place_particles(np.random.default_rng(2), (300, 500), 500, 60.0, 40.0)) < 60  # as many as fit
    with pytest.raises(CryosnakeError, match="no room"):
        mic.place_particles(np.random.default_rng(2), (80, 500), 5, 60.0, 40.0)


def test_particle_lies_where_and_as_its_row_says() -> None:
    """A crop about the coordinate is the CTF-filtered projection of the map for the row's angles; a mirror is not."""
    atoms = pseudo_protein("C1", 600, seed=4)
    defocus = Defocus(12500.0, 11500.0, 35.0)
    places = np.array([[140.0, 230.0], [300.25, 120.5], [240.0, 360.75]])
    angles = mic.random_poses(np.random.default_rng(3), 3)
    heights = np.array([0.0, 400.0, -300.0])
    image = mic.particle_contrast(atoms, mic.PlacedParticles(places, angles, heights), (480, 440), OPTICS, defocus)
    box = 200
    volume = density_from_atoms(atoms, box, OPTICS.pixel_size)
    kx, ky = half_plane(box - 4, 0.5)
    k = np.hypot(kx, ky) / (box * OPTICS.pixel_size)
    real, imaginary = central_slices(padded_transform(volume), euler_to_matrix(*angles.T).astype(np.float32), kx, ky)
    for i, place in enumerate(places):
        x, y = np.rint(place).astype(int)
        crop = image[y - box // 2 : y + box // 2, x - box // 2 : x + box // 2]
        found = scipy.fft.fft2(scipy.fft.ifftshift(crop))
        own = Defocus(12500.0 + heights[i], 11500.0 + heights[i], 35.0)
        transfer = ctf(k * k, np.arctan2(ky, kx), own, OPTICS.microscope) * np.exp(-0.25 * OPTICS.b_factor * k * k)
        rest = place - np.rint(place)
        expected = (real[i] + 1j * imaginary[i]) * transfer * np.exp(-2j * np.pi * (kx * rest[0] + ky * rest[1]) / box)
        expected *= 2.0 * OPTICS.interaction * OPTICS.pixel_size

        def overlap(sign: int, found: np.ndarray = found, expected: np.ndarray = expected) -> float:
            values = found[ky.astype(int), (sign * kx).astype(int)]
            return float((np.vdot(expected, values) / np.vdot(expected, expected)).real)

        assert overlap(1) == pytest.approx(1.0, abs=0.02)  # the neighbours' tails and the slices' interpolation
        assert overlap(-1) < 0.6


def test_protein_is_darker_than_ice() -> None:
    atoms = pseudo_protein("C1", 600, seed=4)
    particles = mic.PlacedParticles(np.array([[150.0, 150.0]]), np.zeros((1, 3)), np.zeros(1))
    contrast = mic.particle_contrast(atoms, particles, (300, 300), OPTICS, Defocus(20000.0, 20000.0, 0.0))
    y, x = np.mgrid[:300, :300]
    inside = np.hypot(x - 150, y - 150) < 20
    assert contrast[inside].mean() > 5 * abs(contrast[np.hypot(x - 150, y - 150) > 100].mean())
    assert 0.01 < contrast[inside].mean() < 0.2  # a few per cent, as in real micrographs


def radial(image: np.ndarray, pixel_size: float, edges: np.ndarray) -> np.ndarray:
    """Mean power of an image between the frequencies `edges` (Å⁻¹)."""
    power = np.abs(scipy.fft.rfft2(image - image.mean())) ** 2
    k = np.sqrt(mic.frequency_grid(image.shape, pixel_size)[0])
    bins = np.digitize(k.ravel(), edges)
    return np.bincount(bins, power.ravel(), len(edges) + 1)[1:-1] / np.bincount(bins, minlength=len(edges) + 1)[1:-1]


@pytest.mark.parametrize(("defocus", "phase_shift"), [(9000.0, 0.0), (18000.0, 0.0), (9000.0, 90.0)])
def test_thon_rings_lie_where_the_ctf_says(defocus: float, phase_shift: float) -> None:
    shape, frames = (512, 512), 4
    padded = (shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN)
    empty = Specimen(np.zeros(padded, np.float32), np.ones(padded, np.float32), None)
    images = expected_frames(np.random.default_rng(8), empty, still(shape, frames), OPTICS,
                             Defocus(defocus, defocus, 0.0, phase_shift), dose_per_frame=4.0)
    edges = np.linspace(1 / 30, 0.2, 90)
    power = np.mean([radial(image, OPTICS.pixel_size, edges) for image in images], 0)
    k = 0.5 * (edges[1:] + edges[:-1])
    envelope = ice_amplitude(k * k, OPTICS, 350.0) * np.exp(-0.25 * OPTICS.b_factor * k * k)
    transfer = ctf(k * k, np.zeros_like(k), Defocus(defocus, defocus, 0.0, phase_shift), OPTICS.microscope)
    rings = power / envelope**2
    assert np.corrcoef(rings, transfer**2)[0, 1] > 0.95
    other = Defocus(1.1 * defocus, 1.1 * defocus, 0.0, phase_shift)
    wrong = ctf(k * k, np.zeros_like(k), other, OPTICS.microscope)
    assert np.corrcoef(rings, wrong**2)[0, 1] < 0.7


def test_noise_is_white_real_and_of_unit_variance() -> None:
    shape = (256, 128)
    images = scipy.fft.irfft2(np.stack([noise_transform(np.random.default_rng(i), shape) for i in range(16)]), s=shape)
    assert images.var() == pytest.approx(1.0, abs=0.01)
    power = (np.abs(scipy.fft.rfft2(images)) ** 2).mean(0) / images[0].size
    # 16 images × 256 rows: standard error of a column's mean power 1.6 % (2.2 % on the two Hermitian lines).
    assert np.abs(power.mean(0) - 1.0).max() < 0.12


def test_water_forgets_small_structure_first() -> None:
    squared = np.array([0.0, 1 / 20.0**2, 1 / 3.7**2])
    assert water_memory(squared, 0.0) == pytest.approx(1.0)
    memory = water_memory(squared, 4.0)
    # McMullan et al. 2015: the 3.7 Å ring is best seen with 4 e/Å² per image; its correlation is then about 0.1.
    assert memory[0] == 1.0 and memory[1] > 0.9 and 0.05 < memory[2] < 0.2


def test_contamination_carbon_and_beam() -> None:
    rng = np.random.default_rng(4)
    clean, dirty = contamination(rng, (256, 256), 2.0, 0), contamination(rng, (256, 256), 2.0, 3)
    assert (clean == 1.0).all()
    assert dirty.min() < 0.9 and dirty.max() <= 1.0 and np.isfinite(dirty).all()
    assert carbon_edge(rng, (256, 256), 0.3).mean() == pytest.approx(0.3, abs=0.02)
    beam = beam_profile(rng, (200, 300))
    assert beam.mean() == pytest.approx(1.0, abs=1e-5) and 0.02 < np.ptp(beam) < 0.1
