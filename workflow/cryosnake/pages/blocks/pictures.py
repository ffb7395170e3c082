"""Pictures for a page that holds everything itself: arrays as data URIs."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

_QUALITY = 82  # of JPEG: at this one the grain of averages and micrographs looks as in the original


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture with words below it: `mark` is kept, left_out or nothing."""

    source: str  # data URI
    words: str
    more: str = ""
    mark: str = ""
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Several pictures side by side: `size` small (class averages), medium or large."""

    pictures: list[Picture]
    size: str = "medium"
    kind: str = "gallery"


@dataclass(frozen=True, kw_only=True)
class MarkedPicture:
    """A picture with circles: centres (x, y) and radius in px of the picture."""

    picture: Picture
    circles: list[tuple[float, float]]
    radius: float
    bar: float  # length of the scale bar, px
    bar_text: str
    kind: str = "marked"


def grey_uri(image: np.ndarray, contrast: tuple[float, float] | None = None) -> str:
    """Return an image (rows, columns) as JPEG, row 0 at the bottom; `contrast` are the values of black and white."""
    low, high = contrast or tuple(np.percentile(image, (0.5, 99.5)))
    scaled = np.clip((image - low) / max(float(high) - float(low), 1e-12), 0.0, 1.0)
    return _jpeg(np.ascontiguousarray((255.0 * scaled[::-1]).astype(np.uint8)))


def colour_uri(image: np.ndarray) -> str:
    """Return an image (rows, columns, 3 or 4 with opacity), values 0 … 1, as PNG, row 0 at the top."""
    from imagecodecs import png_encode

    pixels = np.ascontiguousarray((255.0 * np.clip(image, 0.0, 1.0) + 0.5).astype(np.uint8))
    return _uri("png", bytes(png_encode(pixels, level=9)))


def shrunk(image: np.ndarray, most: int) -> tuple[np.ndarray, float]:
    """Return an image (rows, columns) binned by a whole number so that no side is above `most`, and that number."""
    factor = max(1, -(-max(image.shape) // most))
    rows, columns = (side // factor * factor for side in image.shape)
    cut = image[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor)
    return cut.mean((1, 3)), float(factor)


def _jpeg(pixels: np.ndarray) -> str:
    from imagecodecs import jpeg8_encode

    return _uri("jpeg", bytes(jpeg8_encode(pixels, level=_QUALITY)))


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
