from pathlib import Path

import numpy as np
import pytest

from cryosnake.io.star import read_star
from cryosnake.numerics.motion.local_model import local_shifts, mean_motion, spatial_terms, time_terms

SHAPE = (3838, 3710)


def fit_local_model(shifts: np.ndarray, frames: np.ndarray, positions: np.ndarray, shape: tuple[int, int],
                    weights: np.ndarray | None = None) -> np.ndarray:
    """Fit the model to measured shifts (f, p, 2) by (weighted) least squares, as RELION does: coefficients (2, 18)."""
    design = np.einsum("ft,ps->fpst", time_terms(frames), spatial_terms(positions, shape))
    root = np.ones(shifts.shape[:2]) if weights is None else np.sqrt(weights)
    matrix = design.reshape(-1, 18) * root.reshape(-1, 1)
    scale = np.linalg.norm(matrix, axis=0)  # z³ reaches 10⁴ and more: without it the small terms drown
    scale[scale == 0] = 1.0
    solution = np.linalg.lstsq(matrix / scale, shifts.reshape(-1, 2) * root.reshape(-1, 1), rcond=None)[0]
    return (solution / scale[:, None]).T


def test_order_of_terms_is_relions() -> None:
    """The formula written out, for one place and frame."""
    c = np.arange(1.0, 37.0)
    x, y, z = 1000.0, 3000.0, 7.0
    u, v = x / SHAPE[1] - 0.5, y / SHAPE[0] - 0.5

    def axis(a: np.ndarray) -> float:
        return sum((a[3 * i] * z + a[3 * i + 1] * z**2 + a[3 * i + 2] * z**3) * term
                   for i, term in enumerate((1, u, u * u, v, v * v, u * v)))

    found = local_shifts(c, np.array([z]), np.array([[x, y]]), SHAPE)
    np.testing.assert_allclose(found[0, 0], [axis(c[:18]), axis(c[18:])], rtol=1e-12)


def test_first_frame_does_not_move() -> None:
    assert not local_shifts(np.ones(36), np.array([0]), np.array([[5.0, 7.0]]), SHAPE).any()


def test_mean_motion_is_the_mean_over_the_image() -> None:
    c, frames = np.random.default_rng(1).normal(size=(2, 18)), np.arange(4)
    along = (np.arange(200) + 0.5) / 200
    places = np.stack(np.meshgrid(along * SHAPE[1], along * SHAPE[0]), -1).reshape(-1, 2)
    mean = local_shifts(c, frames, places, SHAPE).mean(axis=1)
    np.testing.assert_allclose(time_terms(frames) @ mean_motion(c).T, mean, rtol=1e-4)


def test_fit_gives_back_the_model_and_weights_leave_points_out() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2, 18)) * np.tile([0.1, 0.01, 0.0005], 6)
    frames = np.arange(24)
    places = np.stack(np.meshgrid(np.linspace(370, 3338, 5), np.linspace(382, 3450, 5)), -1).reshape(-1, 2)
    shifts = local_shifts(truth, frames, places, SHAPE)
    weights = np.ones(shifts.shape[:2])
    shifts[:, 3] += 20.0
    weights[:, 3] = 0
    np.testing.assert_allclose(fit_local_model(shifts, frames, places, SHAPE, weights), truth, atol=1e-8)
    assert np.abs(fit_local_model(shifts, frames, places, SHAPE) - truth).max() > 0.1


def files_of_relion(data: Path) -> list[Path]:
    return sorted((data / "bgal_k2_particles/MotionCorr/job002/Movies").glob("*.star"))


@pytest.mark.data
def test_relions_own_fits_are_found_again(real_data: Path) -> None:
    """RELION fitted these coefficients to these patch shifts; they are printed with three to six digits.

    The worst printed digit, 5e-6 of the z³ terms, is 0.06 pixel at frame 24. Another normalisation of x and y (by
    half the size: 2 pixels), another order of terms or another first frame misses by ten times the tolerance.
    """
    files = files_of_relion(real_data)
    assert len(files) >= 12
    for file in files:
        blocks = read_star(file)
        general, table = blocks["general"].iloc[0], blocks["local_shift"]
        shape = (int(general.rlnImageSizeY), int(general.rlnImageSizeX))
        count = int(general.rlnImageSizeZ)
        places = table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()[::count]
        measured = table[["rlnMicrographShiftX", "rlnMicrographShiftY"]].to_numpy().reshape(-1, count, 2)
        frames = table.rlnMicrographFrameNumber.to_numpy()[:count] - 1
        ours = fit_local_model(measured.transpose(1, 0, 2), frames, places, shape)
        theirs = blocks["local_motion_model"].rlnMotionModelCoeff.to_numpy()
        difference = local_shifts(ours - theirs.reshape(2, 18), frames, places, shape)
        assert np.sqrt(np.mean(difference**2)) < 0.06, file.name
        assert np.abs(difference).max() < 0.4, file.name
