"""The contrast transfer function, RELION's sign: positive at low frequency for underfocus and light particles."""

from __future__ import annotations

import math

from cryosnake.numerics.backend import Array, namespace


def electron_wavelength(voltage: float) -> float:
    """Return the relativistic electron wavelength in Å for an acceleration voltage in kV.

    Method: de Broglie wavelength with the relativistic correction (Spence, High-Resolution Electron Microscopy,
    4th ed., eq. 2.5).
    """
    volts = voltage * 1e3
    return 12.2642598 / math.sqrt(volts * (1.0 + 0.978475598e-6 * volts))


def ctf_phase(
    frequency_squared: Array,  # (...) Å⁻²
    azimuth: Array,  # (...) radians, atan2(ky, kx)
    defocus_u: float | Array,  # Å
    defocus_v: float | Array,  # Å
    defocus_angle: float | Array,  # degrees
    *,
    voltage: float,  # kV
    cs: float,  # mm
    amplitude_contrast: float,
    phase_shift: float | Array = 0.0,  # degrees
) -> Array:
    """Return χ(k), so that CTF = sin χ: π λ Δf k² − ½ π Cs λ³ k⁴ + phase shift + asin(amplitude contrast).

    Method: wave aberration of a round lens with two-fold astigmatism (Rohou & Grigorieff 2015, J. Struct. Biol. 192,
    eqs. 2-5). All arguments broadcast.
    """
    xp = namespace(frequency_squared)
    wavelength = electron_wavelength(voltage)
    mean, half = 0.5 * (defocus_u + defocus_v), 0.5 * (defocus_u - defocus_v)
    defocus = mean + half * xp.cos(2.0 * (azimuth - defocus_angle * (math.pi / 180.0)))
    offset = math.asin(amplitude_contrast) + phase_shift * (math.pi / 180.0)
    spherical = 0.5 * math.pi * cs * 1e7 * wavelength**3
    return math.pi * wavelength * defocus * frequency_squared - spherical * frequency_squared**2 + offset


def ctf(frequency_squared: Array, azimuth: Array, defocus_u: float | Array, defocus_v: float | Array,
        defocus_angle: float | Array, *, voltage: float, cs: float, amplitude_contrast: float,
        phase_shift: float | Array = 0.0) -> Array:
    """Return the CTF; arguments and units as in `ctf_phase`."""
    xp = namespace(frequency_squared)
    return xp.sin(ctf_phase(frequency_squared, azimuth, defocus_u, defocus_v, defocus_angle, voltage=voltage, cs=cs,
                            amplitude_contrast=amplitude_contrast, phase_shift=phase_shift))
