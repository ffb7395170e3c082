"""Values near the origin of images, from their Fourier pixels: those of the whole image."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.polish.displacements import near_origin
from cryosnake.numerics.refine.grids.bands import Band, full_band
from cryosnake.numerics.refine.grids.images import images_of_pixels


@pytest.mark.parametrize("ring", [False, True], ids=["all", "a part of the band"])
def test_it_is_the_middle_of_the_whole_image(ring: bool) -> None:
    band, size, far, rng = full_band(24), 60, 11, np.random.default_rng(1)
    kept = (band.shell > 0) & ((band.shell > 5) if ring else True)  # without the mean, which shifts all values alike
    part = Band(band.box, band.kx[kept], band.ky[kept], band.shell[kept])
    transforms = (rng.normal(size=(3, len(part.kx))) + 1j * rng.normal(size=(3, len(part.kx)))).astype(np.complex64)
    whole = np.fft.ifftshift(images_of_pixels(transforms, Band(size, part.kx, part.ky, part.shell)), axes=(1, 2))
    near = np.r_[0:far, size - far:size]
    expected = whole[:, near][:, :, near] * size**2
    found = near_origin(transforms, part, size, far)
    assert found.dtype == np.float32 and np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
