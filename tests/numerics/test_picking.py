"""Picking: filters against known blobs, the threshold against known mixtures, correlation against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.picking.background import clip_outliers, local_normalise, trend, working_image
from cryosnake.numerics.picking.blobs import BALL, blob_responses
from cryosnake.numerics.picking.noise import NoiseLimits, contaminated, within_limits
from cryosnake.numerics.picking.peaks import find_peaks
from cryosnake.numerics.picking.pick import pick_particles
from cryosnake.numerics.picking.profile import mean_profile, profile_response
from cryosnake.numerics.picking.templates import TemplateSettings, correlate, project_templates, rotate_templates
from cryosnake.numerics.picking.threshold import (
    NoisePeaks,
    PickOptions,
    Responses,
    adaptive_threshold,
    count_noise_peaks,
)

OPTIONS = PickOptions(diameter=160.0, distance=110.0, border=0.0)
PIXEL = 10.0


def ball(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """Return the projection of a ball: positive, 1 in its middle."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    squared = 1.0 - ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2
    return np.sqrt(np.maximum(squared, 0.0)).astype(np.float32)


def detect(image: np.ndarray) -> Responses:
    return Responses(blob_responses(image, 15.0, 17.0))


@pytest.fixture(scope="module")
def noise() -> NoisePeaks:
    return count_noise_peaks(detect, OPTIONS, PIXEL, 30, lambda array: array)


def particles_in_noise(seed: int, count: int, contrast: float = 1.0, size: int = 340) -> tuple[np.ndarray, np.ndarray]:
    """Return a micrograph at 10 Å per pixel with dark balls of 160 Å in white noise, and their positions x, y."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*[np.arange(24, size - 24, 28.0)] * 2), -1).reshape(-1, 2)
    places = rng.permutation(places)[:count] + rng.uniform(-4, 4, (count, 2))
    image = rng.standard_normal((size, size)).astype(np.float32)
    for x, y in places:
        image -= np.float32(contrast) * ball(image.shape, (x, y), 8.0)
    return image + 50.0, places


def recall_and_precision(truth: np.ndarray, picks: np.ndarray, tolerance: float) -> tuple[float, float]:
    distance = np.hypot(*(truth[:, None] - picks[None]).transpose(2, 0, 1))
    return float((distance.min(1) < tolerance).mean()), float((distance.min(0) < tolerance).mean())


def test_working_image_takes_out_a_gradient_but_not_what_a_crystal_makes_of_it() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:200, :200] / 200.0 - 0.5
    surface = (100.0 + 20.0 * x - 10.0 * y + 8.0 * x * x).astype(np.float32)
    image = surface + rng.standard_normal((200, 200)).astype(np.float32)
    image[:60, :60] -= 30.0  # a crystal
    good = np.ones(image.shape, bool)
    good[:60, :60] = False
    # 1: the noise that the surface is fitted through; a fit that followed the crystal would be off by several
    assert np.abs(trend(image) - surface)[good].max() < 1.0


def test_hot_pixels_are_clipped_and_crystals_stay_dark() -> None:
    image = np.random.default_rng(2).standard_normal((99, 99)).astype(np.float32)
    image[50, 50], image[:20, :20] = 1e6, -25.0
    clipped = clip_outliers(image)
    assert clipped.max() < 12.0
    assert clipped[:20, :20].max() == -25.0


def test_local_normalise_evens_out_contrast_and_ignores_what_is_masked() -> None:
    rng = np.random.default_rng(3)
    image = rng.standard_normal((256, 256)).astype(np.float32)
    image[:, 128:] *= 5.0
    image[100:140, 40:80] = -1000.0
    good = image > -900.0
    result = local_normalise(image, good, 10.0)
    assert np.all(result[~good] == 0.0)
    for part in (result[:, :90], result[:, 166:]):
        assert part[np.abs(part) > 0].std() == pytest.approx(1.0, abs=0.06)  # windows of 15 px: 3 % each


@pytest.mark.parametrize("radius", [7.5, 8.5])
def test_blobs_answer_at_their_place_and_scale(radius: float) -> None:
    image = -ball((96, 90), (40.3, 51.6), radius)
    responses = blob_responses(image, 9.0, 17.0 if radius > 8 else 15.0)
    positions, heights, _ = find_peaks(responses.max(0), np.ones(image.shape, bool), 5.0)
    assert np.hypot(*(positions[0] - (40.3, 51.6))) < 0.2
    assert heights[0] > 3 * heights[1:].max(initial=0.0)
    # its own scale answers most: the nearest to 0.78 of its diameter
    scales = np.linspace(BALL * 9.0, 17.0 if radius > 8 else 15.0, len(responses))
    assert responses[:, 52, 40].argmax() == np.abs(scales - BALL * 2.0 * radius).argmin()
    assert blob_responses(-image, 9.0, 15.0)[:, 52, 40].max() < 0.0


def test_peaks_keep_their_distance_and_are_found_between_pixels() -> None:
    y, x = np.mgrid[:40, :50]
    score = np.maximum.reduce([10.0 - ((x - 20.3) ** 2 + (y - 15.8) ** 2) / 2, 8.0 - (x - 27.0) ** 2 - (y - 16.0) ** 2,
                               5.0 - (x - 40.0) ** 2 - (y - 30.0) ** 2, 0.0 * x])
    everything = np.ones(score.shape, bool)
    positions, heights, pixels = find_peaks(score, everything, 10.0)
    # parabolas are exact, but for float32
    np.testing.assert_allclose(positions[heights > 0], [[20.3, 15.8], [40.0, 30.0]], atol=1e-4)
    assert heights[0] > heights[1]
    assert pixels[0].tolist() == [16, 20]
    assert (find_peaks(score, everything, 5.0)[1] > 0).sum() == 3
    assert (find_peaks(score, x > 30, 5.0)[1] > 0).sum() == 1


def test_a_plateau_is_one_peak_and_nan_none() -> None:
    score = np.zeros((12, 12), np.float32)
    score[4:6, 4:6] = 1.0
    score[9, 9] = np.nan
    everything = np.ones(score.shape, bool)
    assert len(find_peaks(score, everything, 3.0)[0][find_peaks(score, everything, 3.0)[1] > 0]) == 1
    assert len(find_peaks(np.full((9, 9), np.nan), everything[:9, :9], 3.0)[0]) == 0


def test_threshold_falls_into_the_gap_between_noise_and_particles(noise: NoisePeaks) -> None:
    rng = np.random.default_rng(4)
    from_noise = rng.choice(noise.heights, len(noise.heights))
    particles = rng.normal(8.0, 0.5, 60)
    threshold = adaptive_threshold(np.concatenate([from_noise, particles]), noise.free, noise.area, noise)
    assert (particles > threshold).all()
    assert (from_noise > threshold).mean() < 0.05
    assert adaptive_threshold(from_noise, noise.free, noise.area, noise) > np.quantile(noise.heights, 0.95)


def test_noise_peaks_are_always_the_same(noise: NoisePeaks) -> None:
    again = count_noise_peaks(detect, OPTIONS, PIXEL, 30, lambda array: array)
    np.testing.assert_array_equal(noise.heights, again.heights)


@pytest.mark.parametrize(("count", "contrast"), [(6, 1.2), (60, 1.2), (110, 0.9)])
def test_balls_in_noise_are_picked_few_or_many(noise: NoisePeaks, count: int, contrast: float) -> None:
    image, places = particles_in_noise(5, count, contrast)
    picks = pick_particles(working_image(image, PIXEL, PIXEL), detect, noise, OPTIONS)
    recall, precision = recall_and_precision(places, picks.positions, 4.0)
    assert recall > 0.95
    # Even odds with a margin: of six particles among hundreds of noise peaks, one or two false ones are expected.
    assert precision > (0.6 if count == 6 else 0.9)
    assert (np.diff(picks.scores) <= 0).all()


def test_shells_that_fill_the_micrograph_are_picked_at_their_centres(noise: NoisePeaks) -> None:
    """Hollow particles close together: their own contrast is most of the image's, and the wall is the densest."""
    rng = np.random.default_rng(15)
    image = 0.5 * rng.standard_normal((240, 240)).astype(np.float32)
    places = np.stack(np.meshgrid(*[np.arange(14.0, 230.0, 23.5)] * 2), -1).reshape(-1, 2)
    places += rng.uniform(-2.0, 2.0, places.shape)
    for x, y in places:
        image -= ball(image.shape, (x, y), 8.0) - 0.7 * ball(image.shape, (x, y), 5.5)
    options = PickOptions(diameter=160.0, distance=107.0, border=0.0)
    picks = pick_particles(working_image(image, PIXEL, PIXEL), detect, noise, options)
    recall, precision = recall_and_precision(places, picks.positions, 2.0)
    assert recall > 0.97
    assert precision > 0.97
    distance = np.hypot(*(places[:, None] - picks.positions[None]).transpose(2, 0, 1)).min(1)
    assert np.median(distance) < 0.5  # pixels of a sixteenth of the particle; filters of fixed shapes give 1 to 2


def test_a_mean_profile_finds_the_centre_where_one_end_is_denser() -> None:
    """Elongated particles with a dense lobe: blobs answer to the lobe, the mean over all directions does not."""
    rng = np.random.default_rng(16)
    places = np.stack(np.meshgrid(*[np.arange(24, 316, 28.0)] * 2), -1).reshape(-1, 2) + rng.uniform(-2, 2, (121, 2))
    turns = rng.uniform(0.0, 2.0 * np.pi, len(places))
    image = 0.3 * rng.standard_normal((340, 340)).astype(np.float32)
    for (x, y), turn in zip(places, turns, strict=True):
        along = np.array([np.cos(turn), np.sin(turn)])
        for place, weight in ((-4.0, 0.8), (0.0, 1.0), (4.0, 1.2)):
            image -= np.float32(weight) * ball(image.shape, (x + place * along[0], y + place * along[1]), 5.0)
    pixels = np.rint(places).astype(int)[:, ::-1]
    kernel = mean_profile(image, pixels, 14.0)
    assert kernel.sum() == pytest.approx(0.0, abs=1e-4)
    everything = np.ones(image.shape, bool)

    def error(score: np.ndarray) -> float:
        positions = find_peaks(score, everything, 10.0)[0][: len(places)]
        return float(np.median(np.hypot(*(places[:, None] - positions[None]).transpose(2, 0, 1)).min(1)))

    assert error(profile_response(image, kernel)) < 0.6 * error(blob_responses(image, 12.0, 18.0).max(0))


def test_coordinates_are_those_of_the_micrograph(noise: NoisePeaks) -> None:
    """A micrograph at 5 Å per pixel, of a size that does not divide evenly."""
    rng = np.random.default_rng(6)
    image = rng.standard_normal((513, 641)).astype(np.float32)
    truth = np.array([[100.0, 120.0], [500.5, 300.25], [320.0, 450.0], [60.0, 440.0], [570.0, 60.0], [250.0, 200.0]])
    for x, y in truth:
        image -= 2.0 * ball(image.shape, (x, y), 16.0)
    picks = pick_particles(working_image(image, 5.0, PIXEL), detect, noise, OPTIONS)
    distance = np.hypot(*(truth[:, None] - picks.positions[None]).transpose(2, 0, 1)).min(1)
    assert distance.max() < 2.0  # pixels of 5 Å: a sixteenth of the particle


def test_pure_noise_and_a_gradient_give_next_to_nothing(noise: NoisePeaks) -> None:
    rng = np.random.default_rng(7)
    image = rng.standard_normal((340, 340)).astype(np.float32) + np.linspace(0, 20, 340, dtype=np.float32)
    picks = pick_particles(working_image(image, PIXEL, PIXEL), detect, noise, OPTIONS)
    assert len(picks.scores) < 25  # of more than 400 peaks


def test_crystals_and_their_rims_are_not_picked(noise: NoisePeaks) -> None:
    image, places = particles_in_noise(8, 70)
    crystal = ball(image.shape, (90, 80), 40.0) > 0
    dirt = ball(image.shape, (250, 250), 9.0) > 0
    image[crystal] -= 25.0
    image[dirt] -= 8.0
    working = working_image(image, PIXEL, PIXEL)
    picks = pick_particles(working, detect, noise, OPTIONS)
    x, y = np.rint(picks.positions).astype(int).T
    near_crystal = ball(image.shape, (90, 80), 47.0) > 0
    assert not near_crystal[y, x].any()
    assert not dirt[y, x].any()
    outside = ~near_crystal[places[:, 1].astype(int), places[:, 0].astype(int)]
    outside &= np.hypot(*(places - 250.0).T) > 30.0
    assert recall_and_precision(places[outside], picks.positions, 4.0)[0] > 0.95
    assert 0.05 < picks.contaminated < 0.2


def test_particles_beside_ice_are_picked(noise: NoisePeaks) -> None:
    image, places = particles_in_noise(12, 60)
    turns = np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False)
    beside = 170.0 + 45.0 * np.stack([np.cos(turns), np.sin(turns)], -1)  # within a pixel of touching the ice
    image = np.random.default_rng(12).standard_normal(image.shape, dtype=np.float32)
    image -= 12.0 * (ball(image.shape, (170, 170), 36.0) > 0)
    for x, y in [*places[np.hypot(*(places - 170.0).T) > 57.0], *beside]:
        image -= 2.0 * ball(image.shape, (x, y), 8.0)
    picks = pick_particles(working_image(image, PIXEL, PIXEL), detect, noise, OPTIONS)
    assert recall_and_precision(beside, picks.positions, 4.0)[0] > 0.9
    assert not (np.hypot(*(picks.positions - 170.0).T) < 34.0).any()


def test_a_few_particles_are_not_contamination() -> None:
    image, places = particles_in_noise(9, 6, contrast=6.0)
    working = working_image(image, PIXEL, PIXEL)
    pixels = np.rint(places[:, ::-1]).astype(int)
    assert not contaminated(working.image, pixels, 16.0).any()


def test_thresholds_border_and_distance_do_what_they_say(noise: NoisePeaks) -> None:
    image, _ = particles_in_noise(10, 60)
    working = working_image(image, PIXEL, PIXEL)
    base = pick_particles(working, detect, noise, OPTIONS)
    more = pick_particles(working, detect, noise,
                          PickOptions(diameter=160.0, distance=110.0, border=0.0, threshold=-1.0))
    upper = pick_particles(working, detect, noise,
                           PickOptions(diameter=160.0, distance=110.0, border=0.0, upper=base.scores[5]))
    inner = pick_particles(working, detect, noise, PickOptions(diameter=160.0, distance=110.0, border=800.0))
    assert len(more.scores) > len(base.scores)
    assert more.threshold == pytest.approx(base.threshold - 1.0)
    assert len(upper.scores) == len(base.scores) - 5
    assert len(inner.scores) < len(base.scores)
    assert inner.positions.min() >= 79.0
    assert inner.positions.max() <= 260.0
    gaps = np.hypot(*(more.positions[:, None] - more.positions[None]).transpose(2, 0, 1))
    assert gaps[~np.eye(len(gaps), dtype=bool)].min() > 10.0  # 110 Å, less what the parabola moves


def test_limits_on_the_surroundings() -> None:
    rng = np.random.default_rng(11)
    image = rng.standard_normal((200, 200)).astype(np.float32)
    image[:, 100:] *= 2.0
    image[:60, :60] -= 1.0
    pixels = np.array([[150, 50], [150, 150], [30, 30]])
    assert within_limits(image, pixels, 16.0, NoiseLimits()).all()
    assert within_limits(image, pixels, 16.0, NoiseLimits(max_stddev=1.2)).tolist() == [True, False, True]
    assert within_limits(image, pixels, 16.0, NoiseLimits(min_average=-0.3)).tolist() == [True, True, False]


def test_blank_and_tiny_micrographs_are_refused(noise: NoisePeaks) -> None:
    with pytest.raises(ValueError, match="blank"):
        working_image(np.full((340, 340), 7.0, np.float32), PIXEL, PIXEL)
    narrow = np.random.default_rng(0).standard_normal((30, 340)).astype(np.float32)
    with pytest.raises(ValueError, match="two particles"):
        pick_particles(working_image(narrow, PIXEL, PIXEL), detect, noise, OPTIONS)


def shape_volume(size: int = 32) -> np.ndarray:
    """Return a smooth map without symmetry, (z, y, x)."""
    z, y, x = np.mgrid[:size, :size, :size] - size // 2
    volume = np.zeros((size,) * 3)
    for (cx, cy, cz), weight in (((6, 0, 1), 1.0), ((-4, 5, -2), 0.8), ((0, -6, 3), 1.2), ((2, 2, -6), 0.6)):
        volume += weight * np.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / 12.0)
    return volume.astype(np.float32)


def test_projected_and_rotated_templates_agree() -> None:
    """The projection along z, rotated in the plane, is the projection for rot = tilt = 0 and that psi."""
    volume = shape_volume()
    settings = TemplateSettings(pixel_size=8.0, diameter=130.0, lowpass=20.0, psi_step=30.0)
    rotated = rotate_templates(volume.sum(0)[None], 5.0, settings)
    projected = project_templates(volume, 5.0, settings, 60.0)
    assert len(projected.psi) == 12 * 12
    as_images = [np.fft.irfft2(bank.transforms) for bank in (rotated, projected)]
    assert as_images[0].shape == (12, *as_images[1].shape[1:])
    # HEALPix order 0 has no pole: compare with a bank made of the pole alone, by the same slices
    from cryosnake.numerics.euler import euler_to_matrix
    from cryosnake.numerics.projection import central_slices, padded_transform

    box = rotated.transforms.shape[1]
    ky, kx = np.meshgrid(np.fft.fftfreq(box, 1 / box), np.arange(box // 2 + 1), indexing="ij")
    inside = np.hypot(kx, ky) < 0.5 * box * 8.0 / 20.0
    scale = 32 * 5.0 / (box * 8.0)
    real, imaginary = central_slices(padded_transform(volume), euler_to_matrix(np.zeros(12), np.zeros(12), rotated.psi),
                                     (kx[inside] * scale).astype(np.float32), (ky[inside] * scale).astype(np.float32))
    expected, found = real + 1j * imaginary, rotated.transforms[:, inside]
    keep = np.hypot(kx, ky)[inside] > 0
    for a, b in zip(expected[:, keep], found[:, keep], strict=True):
        cosine = abs(np.vdot(a, b)) / np.linalg.norm(a) / np.linalg.norm(b)
        assert np.vdot(a, b).real > 0.99 * abs(np.vdot(a, b))
        assert cosine > 0.98  # the low-pass edge is in one of them only


def test_correlation_is_roseman_s() -> None:
    rng = np.random.default_rng(12)
    image = rng.standard_normal((70, 83)).astype(np.float32)
    bank = rotate_templates(rng.standard_normal((2, 32, 32)).astype(np.float32), 5.0,
                            TemplateSettings(pixel_size=6.0, diameter=100.0, lowpass=14.0, psi_step=90.0))
    score, best = correlate(image, bank, None)
    box = bank.transforms.shape[1]
    templates = np.fft.fftshift(np.fft.irfft2(bank.transforms), axes=(1, 2))
    y, x = np.mgrid[:box, :box] - box // 2
    disc = np.hypot(x, y) <= 0.5 * bank.diameter
    for row, column in ((30, 30), (45, 60), (20, 22)):
        patch = image[row - box // 2 : row + box // 2, column - box // 2 : column + box // 2][disc]
        values = [np.corrcoef(patch, template[disc])[0, 1] for template in templates]
        assert score[row, column] == pytest.approx(max(values), abs=1e-4)  # float32 FFTs
        assert best[row, column] == int(np.argmax(values))


def test_template_finds_place_class_and_psi() -> None:
    rng = np.random.default_rng(13)
    volume = shape_volume()
    views = np.stack([volume.sum(0), volume.sum(1), volume.sum(2)])
    bank = rotate_templates(views, 5.0, TemplateSettings(pixel_size=5.0, diameter=130.0, lowpass=15.0, psi_step=15.0))
    templates = np.fft.fftshift(np.fft.irfft2(bank.transforms), axes=(1, 2))
    box = templates.shape[1]
    image = rng.standard_normal((200, 220)).astype(np.float32)
    planted = {(60, 50): 7, (140, 90): 30, (90, 160): 61}  # (row, column): which template
    for (row, column), index in planted.items():
        template = templates[index] / templates[index].std()
        image[row - box // 2 : row - box // 2 + box, column - box // 2 : column - box // 2 + box] += template
    score, best = correlate(image, bank, None)
    positions, _, pixels = find_peaks(score, np.ones(score.shape, bool), 20.0)
    for (row, column), index in planted.items():
        nearest = np.hypot(pixels[:3, 0] - row, pixels[:3, 1] - column).argmin()
        assert np.hypot(positions[nearest, 0] - column, positions[nearest, 1] - row) < 1.0
        found = best[tuple(pixels[nearest])]
        assert bank.classes[found] == bank.classes[index]
        assert abs((bank.psi[found] - bank.psi[index] + 180.0) % 360.0 - 180.0) <= 15.0
