import numpy as np
import pytest

from cryosnake.numerics.motion.dose import accumulated_dose, critical_exposure, dose_exponents, dose_normalisation


def test_critical_exposure_is_the_papers() -> None:
    """Eq. 3 of Grant & Grigorieff (2015) worked out by hand at 10 Å and 3 Å."""
    np.testing.assert_allclose(critical_exposure(np.array([0.1, 1 / 3]), 300), [14.139, 4.336], atol=2e-3)
    np.testing.assert_allclose(critical_exposure(np.array([0.1]), 200), [0.8 * 14.139], atol=2e-3)
    assert np.isinf(critical_exposure(np.array([0.0]), 300))[0]


def test_unknown_voltage_is_refused() -> None:
    with pytest.raises(ValueError, match="not for 120"):
        critical_exposure(np.array([0.1]), 120.0)


def test_dose_is_counted_at_the_end_of_a_frame() -> None:
    np.testing.assert_allclose(accumulated_dose(3, 1.5, 2.0), [3.5, 5.0, 6.5])
    np.testing.assert_allclose(accumulated_dose(2, 1.5, 2.0, first=2), [6.5, 8.0])


def test_weighted_sum_has_the_noise_of_one_frame() -> None:
    exponents = dose_exponents((64, 64), 1.2, 300)
    doses = accumulated_dose(40, 1.2, 0.0)
    scale = dose_normalisation(exponents, doses)
    variance = sum((np.exp(dose * exponents) * scale) ** 2 for dose in doses)
    np.testing.assert_allclose(variance, 1.0, rtol=1e-4)


def test_very_high_doses_stay_finite() -> None:
    exponents = dose_exponents((64, 64), 0.5, 300)
    assert np.isfinite(dose_normalisation(exponents, accumulated_dose(10, 500.0, 0.0))).all()
