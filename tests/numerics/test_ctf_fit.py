"""CTF estimation against truth: simulated micrographs of white noise under a known CTF."""

import math

import numpy as np
import pytest

from cryosnake.numerics.ctf import Defocus, Microscope, ctf
from cryosnake.numerics.ctf_fit.fit import fit_ctf
from cryosnake.numerics.ctf_fit.model import CtfFit, FitOptions
from cryosnake.numerics.ctf_fit.picture import diagnostic_image
from cryosnake.numerics.ctf_fit.quality import ice_ring_density
from cryosnake.numerics.ctf_fit.refine import ring_sums
from cryosnake.numerics.ctf_fit.spectrum import amplitude_spectrum, fitting_sampling
from cryosnake.parallel.threads import thread_limit

MICROSCOPE = Microscope(voltage=300.0, cs=2.7, amplitude_contrast=0.1)
PIXEL_SIZE = 1.06


def simulate(seed: int, defocus: Defocus | None, size: int = 1024) -> np.ndarray:
    """White noise through envelope and CTF (none when `defocus` is None), plus detector noise that falls off.

    The rings carry as much power as the detector noise at low resolution and a tenth of it at 4 Å, so that 1024² pixels
    hold about as much signal per parameter as 4096² of a real micrograph.
    """
    rng = np.random.default_rng(seed)
    ky, kx = np.meshgrid(np.fft.fftfreq(size, PIXEL_SIZE), np.fft.rfftfreq(size, PIXEL_SIZE), indexing="ij")
    k2 = kx**2 + ky**2
    noise = np.fft.rfft2(rng.normal(size=(size, size))) * np.sqrt(0.6 + 0.4 * np.exp(-4.0 * k2))
    if defocus is not None:
        transfer = ctf(k2, np.arctan2(ky, kx), defocus, MICROSCOPE)
        envelope = np.sqrt(np.exp(-40.0 * k2) * (1.0 + 10.0 * np.exp(-900.0 * k2)))  # protein: strong below 20 Å
        noise += np.fft.rfft2(rng.normal(size=(size, size))) * envelope * transfer
    return np.fft.irfft2(noise, (size, size)).astype(np.float32)


def estimate(micrograph: np.ndarray, options: FitOptions | None = None) -> CtfFit:
    options = options or FitOptions()
    sampling = fitting_sampling(PIXEL_SIZE, options.resolution_high)
    return fit_ctf(*amplitude_spectrum(micrograph, PIXEL_SIZE, 512, sampling), MICROSCOPE, options)


def astigmatism_error(found: Defocus, truth: Defocus) -> float:
    """Length of the difference of the astigmatism vectors, U - V in Å at twice the angle."""
    return 2.0 * float(np.hypot(*(found.vector() - truth.vector())[1:3]))


def test_24_micrographs_against_truth() -> None:
    rng = np.random.default_rng(1)
    defocus_errors, astigmatism_errors, fits = [], [], []
    for seed in range(24):
        mean, half = rng.uniform(5500, 25000), 0.5 * rng.uniform(0, 800)
        truth = Defocus(mean + half, mean - half, rng.uniform(0, 180))
        fits.append(estimate(simulate(seed, truth)))
        defocus_errors.append(abs(fits[-1].defocus.mean - mean))
        astigmatism_errors.append(astigmatism_error(fits[-1].defocus, truth))
    assert np.median(defocus_errors) < 50.0
    assert np.median(astigmatism_errors) < 120.0
    assert max(defocus_errors) < 300.0  # no gross failure: a wrong ring is 1,000 Å off or more
    assert all(fit.defocus.u >= fit.defocus.v and 0.0 <= fit.defocus.angle < 180.0 for fit in fits)
    assert max(fit.fit_resolution for fit in fits) < 7.0
    assert min(fit.figure_of_merit for fit in fits) > 0.03


def test_the_number_of_threads_makes_no_difference() -> None:
    micrograph, found = simulate(7, Defocus(12_000.0, 11_500.0, 30.0)), []
    for threads in (1, 2):
        with thread_limit(threads):
            found.append(estimate(micrograph).defocus)
    assert found[0] == found[1]


def test_strong_astigmatism_is_found_from_the_washed_out_average() -> None:
    truth = Defocus(14000.0, 11500.0, 100.0)
    fit = estimate(simulate(3, truth, size=1536))
    assert abs(fit.defocus.mean - truth.mean) < 60.0
    assert astigmatism_error(fit.defocus, truth) < 150.0


@pytest.mark.parametrize("phase_shift", [35.0, 90.0, 150.0])
def test_phase_shift(phase_shift: float) -> None:
    truth = Defocus(9500.0, 9200.0, 40.0, phase_shift)
    fit = estimate(simulate(7, truth), FitOptions(phase_shifts=tuple(np.arange(0.0, 180.0, 10.0))))
    # Defocus and phase shift trade off: 100 Å of defocus look like 9 degrees in the middle of the range.
    assert abs(fit.defocus.phase_shift - phase_shift) < 8.0
    assert abs(fit.defocus.mean - truth.mean) < 120.0


def test_phase_plates_have_no_bias_where_the_signal_falls_steeply() -> None:
    """Of protein: the fall moves the maxima of the rings, which must not pass for a phase shift and less defocus."""
    rng = np.random.default_rng(0)
    size, sampling, errors = 512, 1.4, []
    axis = (np.arange(size) - size // 2) / (size * sampling)
    k2, azimuth = axis**2 + axis[:, None] ** 2, np.arctan2(*np.meshgrid(axis, axis, indexing="ij"))
    signal = 0.9 * (np.maximum(k2, 1e-4) / 0.075**2) ** -1.5 * np.exp(-60.0 * (k2 - 0.075**2))
    for mean, phase_shift in [(8000.0, 110.0), (12000.0, 60.0), (16000.0, 35.0), (20000.0, 90.0), (24000.0, 75.0)]:
        truth = Defocus(mean + 100.0, mean - 100.0, 40.0, phase_shift)
        power = 1.0 + signal * ctf(k2, azimuth, truth, MICROSCOPE) ** 2
        spectrum = np.sqrt(power * rng.gamma(32.0, 1.0 / 32.0, power.shape))
        fit = fit_ctf(spectrum, sampling, MICROSCOPE, FitOptions(phase_shifts=tuple(np.arange(0.0, 181.0, 10.0))))
        errors.append((fit.defocus.mean - mean, fit.defocus.phase_shift - phase_shift))
    defocus_bias, phase_bias = np.mean(errors, axis=0)
    assert abs(defocus_bias) < 30.0  # Å; -200 with a correlation that expects the same fall everywhere
    assert abs(phase_bias) < 1.0  # degrees; 7.2


def test_noise_is_recognised() -> None:
    for seed in range(3):
        fit = estimate(simulate(seed, None))
        assert fit.fit_resolution > 8.0
        assert fit.figure_of_merit < 0.03


def test_turning_the_micrograph_turns_the_angle() -> None:
    truth = Defocus(13000.0, 12200.0, 30.0)
    upright = simulate(5, truth)
    turned = np.ascontiguousarray(np.rot90(upright, -1))  # rows are y: x goes to y, azimuths grow by 90 degrees
    first, second = estimate(upright).defocus, estimate(turned).defocus
    assert second.mean == pytest.approx(first.mean, abs=5.0)
    assert (second.angle - first.angle) % 180.0 == pytest.approx(90.0, abs=2.0)


@pytest.mark.parametrize("defocus", [Defocus(12000.0, 9000.0, 0.0), Defocus(12000.0, 9000.0, 179.5, 30.0),
                                     Defocus(8000.0, 8000.0, 0.0)])
def test_defocus_vector_round_trip(defocus: Defocus) -> None:
    back = Defocus.from_vector(defocus.vector())
    assert (back.u, back.v, back.phase_shift) == pytest.approx((defocus.u, defocus.v, defocus.phase_shift))
    assert math.sin(math.radians(back.angle - defocus.angle)) == pytest.approx(0.0, abs=1e-9)
    assert 0.0 <= back.angle < 180.0


def test_kernel_sums_the_ctf_of_the_shared_function() -> None:
    rng = np.random.default_rng(0)
    k2, azimuth = rng.uniform(1e-3, 0.04, 500).astype(np.float32), rng.uniform(0, math.pi, 500)
    value, ring = rng.normal(size=500).astype(np.float32), rng.integers(0, 4, 500).astype(np.int32)
    defocus = Defocus(15000.0, 14000.0, 70.0, 20.0)
    sums = ring_sums(defocus.vector(), value, k2, np.cos(2 * azimuth).astype(np.float32),
                     np.sin(2 * azimuth).astype(np.float32), ring, MICROSCOPE.wavelength, MICROSCOPE.spherical,
                     math.asin(MICROSCOPE.amplitude_contrast), 4)
    transfer = ctf(k2.astype(float), azimuth, defocus, MICROSCOPE)
    wanted = 2.0 * transfer**2 - 1.0  # = -cos 2χ
    for row, weights in enumerate((wanted, wanted * value, wanted**2)):
        # float32 phases of up to 25 radians
        assert sums[row] == pytest.approx(np.bincount(ring, weights, 4), abs=2e-3)


def test_spectrum_shows_a_wave_where_it_belongs() -> None:
    row, column = np.indices((700, 900))
    wave = np.cos(2.0 * np.pi * (0.11 * column - 0.07 * row))
    spectrum, sampling = amplitude_spectrum(wave.astype(np.float32), 1.0, 256, 1.5)
    assert spectrum.shape == (256, 256)
    assert sampling == pytest.approx(1.5, rel=0.02)
    y, x = np.unravel_index(np.argmax(spectrum[:, 128:]), (256, 128))
    assert (x, y - 128) == pytest.approx((0.11 * 256 * sampling, -0.07 * 256 * sampling), abs=0.6)
    # a real image: the spectrum is symmetric about its centre
    assert np.allclose(spectrum[1:, 1:], spectrum[1:, 1:][::-1, ::-1])


def test_one_tile_of_contamination_does_not_rule_the_spectrum() -> None:
    truth = Defocus(15000.0, 14700.0, 50.0)
    micrograph = simulate(2, truth)
    micrograph[:200, :300] += 200.0
    micrograph[700:750, 100:150] = 50.0 * np.random.default_rng(0).normal(size=(50, 50))
    assert abs(estimate(micrograph).defocus.mean - truth.mean) < 150.0


def test_ice_rings_stand_out() -> None:
    size = 512
    axis = (np.arange(size) - size // 2) / (size * 1.4)
    radius = np.hypot(axis, axis[:, None])
    clean = 1.0 + 0.5 * np.exp(-((radius / 0.05) ** 2))
    ice = clean + 0.5 * np.exp(-(((radius - 1 / 3.67) / 0.003) ** 2))
    assert abs(ice_ring_density(clean, 1.4)) < 0.01
    assert ice_ring_density(ice, 1.4) > 0.15
    assert math.isnan(ice_ring_density(ice, 3.0))  # Nyquist at 6 Å


def test_diagnostic_image_has_the_fit_on_the_left() -> None:
    truth = Defocus(12000.0, 11500.0, 60.0)
    spectrum, sampling = amplitude_spectrum(simulate(4, truth), PIXEL_SIZE, 512, 1.4)
    fit = fit_ctf(spectrum, sampling, MICROSCOPE, FitOptions())
    image = diagnostic_image(spectrum, sampling, fit, MICROSCOPE, 30.0)
    assert image.shape == spectrum.shape and image.dtype == np.float32 and np.isfinite(image).all()
    mirrored = image[1:, 1:][::-1, ::-1]
    rings = slice(285, 350)  # 15 to 7 Å on the right-hand axis
    left, right = mirrored[206:306, rings].ravel(), image[1:, 1:][206:306, rings].ravel()
    assert np.corrcoef(left, right)[0, 1] > 0.2  # single pixels of a noisy spectrum
    assert np.corrcoef(left, image[1:, 1:][306:406, rings].ravel())[0, 1] < 0.1


@pytest.mark.parametrize(("micrograph", "message"), [
    (np.zeros((700, 700), np.float32), "blank"),
    (np.full((700, 700), np.nan, np.float32), "NaN"),
    (np.ones((60, 900), np.float32), "too small"),
    (np.ones((3, 700, 700), np.float32), "two dimensions"),
])
def test_bad_micrographs_are_named(micrograph: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        amplitude_spectrum(micrograph, PIXEL_SIZE, 512, 1.4)


@pytest.mark.parametrize(("spectrum", "message"), [
    (np.zeros((512, 512)), "empty"),
    (np.full((512, 512), np.inf), "NaN"),
    (np.ones((512, 256)), "square"),
    (np.ones((512, 512)), "blank"),
    (np.ones((40, 40)), "at least 24"),
])
def test_bad_spectra_are_named(spectrum: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_ctf(spectrum, 1.4, MICROSCOPE, FitOptions())


def test_small_micrograph_gives_a_smaller_box() -> None:
    spectrum, sampling = amplitude_spectrum(simulate(0, None, size=400), PIXEL_SIZE, 512, 1.4)
    assert spectrum.shape[0] < 400
    assert sampling == pytest.approx(1.4, rel=0.01)


@pytest.mark.gpu
def test_spectrum_on_the_gpu_is_the_same(gpu) -> None:
    micrograph = simulate(1, Defocus(15000.0, 14000.0, 20.0))
    here, sampling = amplitude_spectrum(micrograph, PIXEL_SIZE, 512, 1.4)
    there, same = amplitude_spectrum(gpu.asarray(micrograph), PIXEL_SIZE, 512, 1.4)
    assert sampling == same
    assert np.allclose(here, there, rtol=1e-4, atol=1e-4)
