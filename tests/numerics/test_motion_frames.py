import numpy as np
import pytest

from cryosnake.numerics.motion.frames import bad_pixels, corrected_frame, replacement_sources


def counts(mean: float = 40.0, shape: tuple[int, int] = (128, 96)) -> np.ndarray:
    return np.random.default_rng(0).poisson(mean, shape).astype(np.float32)


def test_hot_pixels_of_very_different_heights_are_all_found() -> None:
    total = counts()
    total[3, 4], total[50, 60], total[100, 7] = 1e7, 1000, 120  # one alone would hide the others
    assert sorted(map(tuple, np.argwhere(bad_pixels(total)).tolist())) == [(3, 4), (50, 60), (100, 7)]


def test_clean_movie_has_none_and_dead_pixels_are_found_where_it_is_sure() -> None:
    assert not bad_pixels(counts()).any()
    total = counts()
    total[9, 9] = 0
    assert np.argwhere(bad_pixels(total)).tolist() == [[9, 9]]
    sparse = counts(2.0)  # here zeros are honest
    assert (sparse == 0).any() and not (bad_pixels(sparse) & (sparse == 0)).any()


def test_known_and_non_finite_pixels_are_bad() -> None:
    total = counts()
    total[1, 1] = np.nan
    known = np.zeros(total.shape, dtype=bool)
    known[:, 5] = True
    bad = bad_pixels(total, known)
    assert bad[1, 1] and bad[:, 5].all() and bad.sum() == 1 + 128


def test_movies_without_an_image_are_refused() -> None:
    with pytest.raises(ValueError, match="same value"):
        bad_pixels(np.full((64, 64), 7.0, dtype=np.float32))
    total = counts()
    total[:60] = np.nan
    with pytest.raises(ValueError, match="gain reference or defect file"):
        bad_pixels(total)


def test_replacements_are_good_near_and_of_the_right_statistics() -> None:
    image = counts(shape=(256, 256))
    bad = np.zeros(image.shape, dtype=bool)
    bad[40:60, 30:80] = True  # a block wider than the first neighbourhoods
    bad[:, 200] = True
    bad[0, 0] = bad[0, 1] = True
    targets = np.flatnonzero(bad)
    sources = replacement_sources(bad, targets, np.random.default_rng(1))
    assert not bad.reshape(-1)[sources].any()
    column = targets % 256 == 200
    assert np.abs(sources[column] % 256 - 200).max() <= 4
    spoilt = np.where(bad, 1e6, image).astype(np.float32)
    mended = np.empty_like(spoilt)
    corrected_frame(spoilt, None, targets, sources, mended)
    filled = mended[bad]
    # 1,250 draws from Poisson(40): mean within 4 standard errors, spread kept (an average of neighbours has 0.2)
    assert abs(filled.mean() - 40) < 4 * np.sqrt(40 / filled.size)
    assert 0.85 < filled.std() / np.sqrt(40) < 1.15
    np.testing.assert_array_equal(mended[~bad], image[~bad])


def test_frames_are_multiplied_by_the_gain() -> None:
    frame = np.full((4, 4), 3, dtype=np.uint8)
    gain = np.full((4, 4), 0.5, dtype=np.float32)
    none = np.zeros(0, dtype=np.intp)
    out = np.empty((4, 4), dtype=np.float32)
    corrected_frame(frame, gain, none, none, out)
    assert (out == 1.5).all() and (frame == 3).all()
