"""CPU time of CTF estimation per micrograph, against the FFTs that no method can do without.

Run: python benchmarks/ctf.py [--size 4096] [--repeats 3]. Prints CPU seconds per micrograph of the whole estimation and
of its parts, and as peer, measured in the same run, one real FFT of the micrograph (what a program that takes the
spectrum of the whole image needs at least).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import scipy.fft

from cryosnake.numerics.ctf import Defocus, Microscope, ctf
from cryosnake.numerics.ctf_fit.fit import fit_ctf
from cryosnake.numerics.ctf_fit.model import FitOptions
from cryosnake.numerics.ctf_fit.spectrum import amplitude_spectrum, fitting_sampling

MICROSCOPE = Microscope(voltage=300.0, cs=2.7, amplitude_contrast=0.1)
PIXEL_SIZE = 0.885  # Å
DEFOCUS = Defocus(15200.0, 14800.0, 40.0)


def micrograph(size: int) -> np.ndarray:
    """Return (size, size) float32: white noise under a CTF plus white noise."""
    rng = np.random.default_rng(0)
    ky, kx = np.meshgrid(np.fft.fftfreq(size, PIXEL_SIZE), np.fft.rfftfreq(size, PIXEL_SIZE), indexing="ij")
    k2 = (kx**2 + ky**2).astype(np.float32)
    transfer = ctf(k2, np.arctan2(ky, kx).astype(np.float32), DEFOCUS, MICROSCOPE)
    signal = scipy.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32)) * transfer * np.exp(-20.0 * k2)
    noise = rng.standard_normal((size, size), dtype=np.float32)
    return np.asarray(0.3 * scipy.fft.irfft2(signal, (size, size)) + noise, np.float32)


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the best CPU time of several runs, after one that compiles and warms up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096, help="side of the micrograph in pixels")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    image, options = micrograph(arguments.size), FitOptions()
    sampling = fitting_sampling(PIXEL_SIZE, options.resolution_high)
    spectrum, pixel_size = amplitude_spectrum(image, PIXEL_SIZE, 512, sampling)
    phase = FitOptions(phase_shifts=tuple(np.linspace(0.0, 180.0, 19)))
    parts = {
        "tiled spectrum": lambda: amplitude_spectrum(image, PIXEL_SIZE, 512, sampling),
        "fit": lambda: fit_ctf(spectrum, pixel_size, MICROSCOPE, options),
        "fit with phase shift": lambda: fit_ctf(spectrum, pixel_size, MICROSCOPE, phase),
        "peer: one rfft2 of the whole image": lambda: scipy.fft.rfft2(image),
    }
    seconds = {name: cpu_seconds(work, arguments.repeats) for name, work in parts.items()}
    for name, value in seconds.items():
        print(f"{name:36s} {value:7.3f} CPU-s")
    total = seconds["tiled spectrum"] + seconds["fit"]
    print(f"{'per micrograph':36s} {total:7.3f} CPU-s, "
          f"{total / seconds['peer: one rfft2 of the whole image']:.1f} times the peer")
    defocus = fit_ctf(spectrum, pixel_size, MICROSCOPE, options).defocus
    print(f"found {defocus.u:.0f} {defocus.v:.0f} Å {defocus.angle:.1f}°, truth {DEFOCUS.u:.0f} {DEFOCUS.v:.0f} Å "
          f"{DEFOCUS.angle:.1f}°")


if __name__ == "__main__":
    main()
