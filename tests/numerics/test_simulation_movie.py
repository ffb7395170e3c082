"""Motion, radiation damage and the camera, against what the literature and the settings say."""

import numpy as np
import pytest
import scipy.fft

from cryosnake.numerics.ctf import Defocus
from cryosnake.simulation.detector import Detector, poisson, random_detector, recorded_frame
from cryosnake.simulation.micrograph import Optics
from cryosnake.simulation.motion import TrueMotion, local_shift, random_motion, total_shift
from cryosnake.simulation.movie import Specimen, critical_dose, damage, expected_frames
from cryosnake.simulation.warp import MARGIN, move

SHAPE = (192, 256)


def spots(places: np.ndarray) -> np.ndarray:
    """A padded specimen with a Gaussian of 3 px at each place of the corrected micrograph."""
    y, x = np.mgrid[-MARGIN : SHAPE[0] + MARGIN, -MARGIN : SHAPE[1] + MARGIN]
    image = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 18.0) for px, py in places)
    return np.asarray(image, np.float32)


def centroid(frame: np.ndarray, near: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    weight = np.where(np.hypot(x - near[0], y - near[1]) < 14.0, frame, 0.0).astype(np.float64)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def test_a_point_moves_against_relions_shift() -> None:
    rng = np.random.default_rng(2)
    motion = random_motion(rng, 8, SHAPE, pixel_size=1.0, dose_per_frame=2.0, drift=9.0, local=2.0)
    places = np.array([[40.0, 40.0], [200.5, 60.25], [128.0, 96.0], [60.75, 150.0], [210.0, 145.5]])
    image = spots(places)
    for frame in (0, 3, 7):
        shifts = total_shift(motion, places, frame)
        moved = move(image, motion, frame)
        for place, shift in zip(places, shifts, strict=True):
            # 0.02 px: a spot of 3 px is itself bent by the field of shifts
            assert centroid(moved, place - shift) == pytest.approx(place - shift, abs=0.02)
    assert np.abs(total_shift(motion, places, 7)).max() > 2.0


def test_still_specimen_is_the_first_frame() -> None:
    image = np.random.default_rng(1).normal(size=(SHAPE[0] + 2 * MARGIN, SHAPE[1] + 2 * MARGIN)).astype(np.float32)
    still = TrueMotion(np.zeros((2, 2)), np.zeros(36), SHAPE)
    assert np.abs(move(image, still, 1) - image[MARGIN:-MARGIN, MARGIN:-MARGIN]).max() < 1e-5


def test_interpolation_keeps_frequencies_up_to_three_quarters_of_nyquist() -> None:
    x = np.mgrid[-MARGIN : SHAPE[0] + MARGIN, -MARGIN : SHAPE[1] + MARGIN][1].astype(np.float32)
    half = TrueMotion(np.array([[0.0, 0.0], [0.5, -0.5]]), np.zeros(36), SHAPE)
    for frequency in (0.1, 0.3, 0.375):  # per pixel; half a pixel is the worst case
        moved = move(np.cos(2 * np.pi * frequency * x), half, 1)
        expected = np.cos(2 * np.pi * frequency * (np.arange(SHAPE[1]) + 0.5))
        assert np.abs(moved - expected).max() < 0.03


def test_local_motion_is_relions_polynomial() -> None:
    coefficients = np.zeros(36)
    coefficients[3 + 1] = 0.5  # x-shift: x t²
    coefficients[18 + 15] = 2.0  # y-shift: x y t
    coefficients[18 + 12 + 2] = -1.0  # y-shift: y² t³
    motion = TrueMotion(np.zeros((5, 2)), coefficients, (100, 200))
    shift = local_shift(motion, np.array([[150.0, 25.0]]), 3.0)  # x = ¼, y = -¼, t = 3
    assert shift == pytest.approx(np.array([[0.5 * 0.25 * 9, 2.0 * -0.0625 * 3 - 0.0625 * 27]]))


def test_motion_is_fast_early_and_zero_in_the_first_frame() -> None:
    steps = []
    for seed in range(20):
        motion = random_motion(np.random.default_rng(seed), 16, SHAPE, pixel_size=1.5, dose_per_frame=2.5)
        assert (motion.global_shifts[0] == 0).all()
        assert not local_shift(motion, np.array([[3.0, 4.0]]), 0.0).any()
        steps.append(np.linalg.norm(np.diff(motion.global_shifts, axis=0), axis=1))
        grid = np.stack(np.meshgrid(np.arange(0.5, SHAPE[1]), np.arange(0.5, SHAPE[0])), -1)
        assert local_shift(motion, grid, 15.0).mean((0, 1)) == pytest.approx([0.0, 0.0], abs=0.01)
    mean = np.mean(steps, 0)
    assert mean[0] > 3 * mean[-1]
    path = np.sum(steps, 1) * 1.5
    assert 6.0 < np.median(path) < 25.0  # Å, as in the real movies of EMPIAR-10204


def test_critical_dose_is_that_of_grant_and_grigorieff() -> None:
    # Their fit at 300 kV: 4.3 e/Å² at 3 Å, 14 at 10 Å; 80 % of it at 200 kV.
    dose = critical_dose(np.array([1 / 3.0, 1 / 10.0]), 300.0)
    assert dose == pytest.approx([4.34, 14.1], abs=0.1)
    assert critical_dose(np.array([0.1]), 200.0) == pytest.approx(0.8 * dose[1:])
    assert damage(np.array([0.0, 0.1]), dose[1], 300.0) == pytest.approx([1.0, np.exp(-0.5)], abs=1e-3)


def test_particles_fade_and_ice_does_not() -> None:
    rng = np.random.default_rng(3)
    padded = (SHAPE[0] + 2 * MARGIN, SHAPE[1] + 2 * MARGIN)
    signal = rng.normal(0.0, 0.05, padded).astype(np.float32)
    still = TrueMotion(np.zeros((10, 2)), np.zeros(36), SHAPE)
    specimen = Specimen(signal, np.ones(padded, np.float32), None, ice_thickness=0.0)
    frames = list(expected_frames(rng, specimen, still, Optics(1.5), Defocus(1e4, 1e4, 0.0), dose_per_frame=2.0))
    k = np.hypot(np.fft.fftfreq(SHAPE[0], 1.5)[:, None], np.fft.rfftfreq(SHAPE[1], 1.5)[None])
    shell = (k > 0.19) & (k < 0.21)
    power = [(np.abs(scipy.fft.rfft2(frames[i] - frames[i].mean())) ** 2)[shell].mean() for i in (0, 9)]
    assert np.sqrt(power[1] / power[0]) == pytest.approx(np.exp(-0.5 * 18.0 / critical_dose(np.array(0.2), 300.0)),
                                                         rel=0.1)  # stronger shells leak in


@pytest.mark.parametrize("mean", [0.4, 9.0, 120.0, 500.0])
def test_counts_are_poisson(mean: float) -> None:
    counts = poisson(np.random.default_rng(5), np.full((400, 500), mean, np.float32), np.uint16).astype(np.float64)
    size = counts.size
    # Standard errors: √(λ/n) of the mean, √((λ + 2 λ²) / n) of the variance; five of each.
    assert counts.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / size))
    assert counts.var() == pytest.approx(mean, abs=5 * np.sqrt((mean + 2 * mean**2) / size))
    neighbours = (counts[:, 1:] - mean) * (counts[:, :-1] - mean)
    assert abs(neighbours.mean()) < 5 * mean / np.sqrt(size)


def test_counts_repeat_by_seed_and_never_overflow() -> None:
    expected = np.full((64, 64), 7.0, np.float32)
    first, again, other = (poisson(np.random.default_rng(seed), expected) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.dtype == np.uint8
    assert (poisson(np.random.default_rng(1), np.full((8, 8), 290.0, np.float32)) >= 220).all()
    assert (poisson(np.random.default_rng(1), np.full((8, 8), -1.0, np.float32)) == 0).all()


def test_gain_reference_flattens_the_frames() -> None:
    rng = np.random.default_rng(6)
    camera = random_detector(rng, SHAPE, hot=5, dead=4)
    flat = np.ones(SHAPE, np.float32)
    total = sum(recorded_frame(rng, flat, flat, camera, 40.0, np.uint16).astype(np.float64) for _ in range(50))
    good = camera.excess == 0
    assert (camera.excess > 0).sum() == 5 and (camera.excess < 0).sum() == 4
    assert (total[camera.excess < 0] == 0).all()
    assert (total[camera.excess > 0] > 1.2 * 2000.0).all()
    corrected = (total * camera.gain)[good] / 50
    assert corrected.mean() == pytest.approx(40.0, rel=0.001)
    # What is left is counting noise: √(40 gain / 50) = 0.9; without the gain the pattern adds 5 % of 40.
    assert corrected.std() == pytest.approx(np.sqrt(40.0 / 50), rel=0.1)
    assert (total[good] / 50).std() > 1.5
    assert camera.gain.mean() == pytest.approx(1.0, abs=1e-4)
    columns = (1.0 / camera.gain).mean(0)
    assert columns.std() > 0.01  # the read-out's column structure, 192 rows average the rest to 0.2 %


def test_blur_is_an_mtf() -> None:
    padded = (SHAPE[0] + 2 * MARGIN, SHAPE[1] + 2 * MARGIN)
    still = TrueMotion(np.zeros((1, 2)), np.zeros(36), SHAPE)
    wave = np.cos(2 * np.pi * np.arange(padded[1]) * 84 / padded[1])[None] * np.full(padded, 0.1)  # 0.25 per pixel
    specimen = Specimen(wave.astype(np.float32), np.ones(padded, np.float32), None, ice_thickness=0.0)
    sharp, blurred = (next(iter(expected_frames(np.random.default_rng(1), specimen, still, Optics(1.0),
                                                Defocus(1e4, 1e4, 0.0), dose_per_frame=0.0, blur=b)))
                      for b in (0.0, 0.5))
    assert blurred.std() / sharp.std() == pytest.approx(np.exp(-2 * (np.pi * 0.5 * 0.25) ** 2), rel=1e-3)


def test_detector_holds_what_it_is_given() -> None:
    flat = np.ones((32, 32), np.float32)
    camera = Detector(2.0 * flat, 0.0 * flat)  # a gain of 2 means half the counts
    counts = recorded_frame(np.random.default_rng(1), flat, 3.0 * flat, camera, 10.0)
    assert counts.mean() == pytest.approx(15.0, abs=5 * np.sqrt(15.0 / 1024))
