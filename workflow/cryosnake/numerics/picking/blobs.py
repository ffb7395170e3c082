"""Laplacian-of-Gaussian blob detection over a range of diameters, from full to hollow particles."""

from __future__ import annotations

import math

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace
from cryosnake.numerics.picking.background import frequency_squared, reflect

SCALES = 4
# A projected ball (its profile falls to 0 at the rim) responds most to a LoG whose zero crossing is at this fraction
# of its radius, a flat disc or the projected shell of a hollow particle at the whole of it.
BALL = 0.78


def blob_responses(
    image: Array,  # (h, w), normalised, particles dark
    smallest: float,  # pixels, diameter
    largest: float,
) -> Array:
    """Return scale-normalised LoG responses (scales, h, w) float32, positive on dark blobs.

    Method: σ² ∇²G with σ = r / √2 for a blob of radius r (Lindeberg 1998, Int. J. Comput. Vis. 30, 79-116, eq. 30).
    The zero crossings are spaced evenly from that of a ball of the smallest diameter to that of a shell of the largest:
    if they were all those of balls, a hollow particle would be found at its wall.
    """
    xp, fft = namespace(image), fft_of(image)
    margin = min(math.ceil(largest), min(image.shape) - 1)
    padded, shape = reflect(image, margin)
    transform, squared = fft.rfft2(padded), frequency_squared(shape, image)
    responses = []
    for diameter in np.linspace(BALL * smallest, largest, SCALES):
        variance = 0.5 * (0.5 * float(diameter)) ** 2
        exponent = 2.0 * math.pi**2 * variance * squared
        response = fft.irfft2(transform * (2.0 * exponent * xp.exp(-exponent)), s=shape)
        responses.append(-response[margin : margin + image.shape[0], margin : margin + image.shape[1]])
    # The sign: ∇² has the transform -4π²k², a dark blob is negative, and the blob's own response must be positive.
    return xp.stack(responses).astype(xp.float32)
