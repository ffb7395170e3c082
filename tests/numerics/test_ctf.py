"""The CTF itself: constants, signs, and RELION's image of the same parameters."""

import math
import subprocess

import numpy as np
import pytest

from cryosnake.io.mrc import read_mrc
from cryosnake.numerics.ctf import Defocus, Microscope, ctf, ctf_phase, electron_wavelength


@pytest.mark.parametrize(("voltage", "wavelength"), [(100, 0.037014), (200, 0.025079), (300, 0.019687)])
def test_wavelength_is_that_of_the_tables(voltage: float, wavelength: float) -> None:
    # Williams & Carter, Transmission Electron Microscopy, table 1.2, six decimals
    assert electron_wavelength(voltage) == pytest.approx(wavelength, abs=1e-6)


def test_sign_and_amplitude_contrast_at_zero_frequency() -> None:
    defocus, microscope = Defocus(10000.0, 10000.0, 0.0), Microscope(300.0, 2.7, 0.07)
    value = ctf(np.zeros(1), np.zeros(1), defocus, microscope)
    assert value[0] == pytest.approx(0.07)
    low = ctf(np.full(1, 1e-3), np.zeros(1), defocus, microscope)
    assert low[0] > 0.5  # underfocus: positive before the first zero


def test_defocus_u_lies_along_its_angle() -> None:
    frequency = np.full(2, 0.01)
    azimuth = np.radians([30.0, 120.0])
    phase = ctf_phase(frequency, azimuth, Defocus(20000.0, 10000.0, 30.0), Microscope(300.0, 0.0, 0.0))
    assert phase == pytest.approx(math.pi * electron_wavelength(300) * 0.01 * np.array([20000.0, 10000.0]))


@pytest.mark.relion
@pytest.mark.parametrize("phase_shift", [0.0, 60.0])
def test_equals_the_image_of_relion(relion, tmp_path, phase_shift: float) -> None:
    box, pixel_size = 128, 1.5
    file = tmp_path / "ctf.mrc"
    subprocess.run([relion / "relion_ctf_toolbox", "--simulate", file, "--angpix", str(pixel_size), "--box", str(box),
                    "--kV", "200", "--Q0", "0.1", "--Cs", "1.4", "--defU", "12000", "--defV", "9000", "--defAng", "25",
                    "--phase_shift", str(phase_shift)], check=True, capture_output=True)
    theirs, _ = read_mrc(file)
    axis = (np.arange(box) - box // 2) / (box * pixel_size)
    kx, ky = np.meshgrid(axis, axis)
    ours = ctf(kx**2 + ky**2, np.arctan2(ky, kx), Defocus(12000.0, 9000.0, 25.0, phase_shift),
               Microscope(200.0, 1.4, 0.1))
    # RELION stores half of the plane: its first row and column are the Nyquist frequency of either sign
    assert np.abs(theirs - ours)[1:, 1:].max() < 1e-3
