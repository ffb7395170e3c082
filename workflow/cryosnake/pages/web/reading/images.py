"""Pictures of micrographs, sections of stacks and slices of maps, made when they are asked for."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.movies import header_pixel_size, movie_info, read_frames, read_image
from cryosnake.io.mrc_header import read_header
from cryosnake.io.mrc_sections import read_sections
from cryosnake.pages.blocks.pictures import shrunk
from cryosnake.pages.web.reading.disks import Disks
from cryosnake.pages.web.reading.tables import number_of
from cryosnake.report.panels.particles import smooth

_MOST_SIDE, _MOST_PIXELS = 2048, 1 << 28  # px of a picture; of an image that is read
_MRC = (".mrc", ".mrcs", ".map", ".st", ".ctf")
_EER_GROUP = 40  # detector frames that are summed to one
_KEPT, _KEPT_PIXELS = 3, 32_000_000  # images after the low-pass, of four bytes a pixel


@dataclass(frozen=True)
class Shape:
    """Sides of an image in px, how many there are, and the pixel size in Å (0 where the file has none)."""

    nx: int
    ny: int
    nz: int
    pixel_size: float


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How an image is to be shown; the region (left, top, width, height) in px of the image, as it is seen."""

    section: int = 0
    low_pass: float = 0.0  # Å, 0 for none
    sigma: float = 3.0  # black and white at so many standard deviations from the mean; 0: at 0.5 and 99.5 %
    side: int = 1024
    region: tuple[int, int, int, int] | None = None


def wish_of(query: Mapping[str, str], usual: Wish = Wish()) -> Wish:
    """Return what an address asks for; `usual` counts where it says nothing, or no number."""
    def number(name: str, default: float, low: float, high: float) -> float:
        value = number_of(query.get(name, ""))
        return default if value is None else min(max(value, low), high)

    places = [number_of(text) for text in query.get("region", "").split(",")]
    whole = [int(place) for place in places if place is not None]
    return Wish(section=int(number("section", 0, 0, 1e7)), low_pass=number("lowpass", usual.low_pass, 0, 1000),
                sigma=number("sigma", usual.sigma, 0, 50), side=int(number("side", usual.side, 16, _MOST_SIDE)),
                region=(whole[0], whole[1], whole[2], whole[3]) if len(whole) == 4 else None)


class Images:
    """Makes pictures; keeps the last images, so that another contrast or region costs little."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[object, ...], np.ndarray] = OrderedDict()
        self._lock, self._disks = threading.Lock(), Disks()

    def picture(self, path: Path, wish: Wish) -> bytes:
        """Return a PNG of an image, row 0 at the bottom as in all pictures of cryosnake.

        Raises
        ------
        CryosnakeError
            where the file is no image that can be read
        """
        image = self._image(path, wish)
        contrast = _contrast(image, wish.sigma)
        seen = image[::-1]
        if wish.region:
            left, top, width, height = wish.region
            top, left = max(top, 0), max(left, 0)
            seen = seen[top:top + max(height, 1), left:left + max(width, 1)]
        if not seen.size:
            raise CryosnakeError(f"{path.name}: there is nothing in that region")
        return png(shrunk(seen, wish.side)[0] if max(seen.shape) > wish.side else seen, contrast)

    def _image(self, path: Path, wish: Wish) -> np.ndarray:
        found = os.stat(path)
        key = (str(path), found.st_mtime_ns, found.st_size, wish.section, wish.low_pass)
        image = self._kept.get(key)
        if image is None:
            with self._disks.turn(found.st_dev):
                image = _smoothed(path, wish)
        with self._lock:
            self._kept[key] = image
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and (len(self._kept) > _KEPT or self._pixels() > _KEPT_PIXELS):
                self._kept.popitem(last=False)
        return image

    def _pixels(self) -> int:
        return sum(image.size for image in self._kept.values())


def shape_of(path: Path) -> Shape:
    """Return the sides of an image, a stack, a map or a movie; frames of EER files after grouping.

    Raises
    ------
    CryosnakeError
        where it can't be read
    """
    if path.suffix.lower() in _MRC:
        header = read_header(path)
        return Shape(header.nx, header.ny, header.nz, header.pixel_size)
    info = movie_info(path)
    return Shape(info.width, info.height, info.frames // (_EER_GROUP if info.kind == "eer" else 1), 0.0)


def png(image: np.ndarray, contrast: tuple[float, float]) -> bytes:
    """Return an image (rows, columns) as PNG, its first row at the top."""
    from imagecodecs import png_encode

    low, high = contrast
    scaled = np.clip((image - low) / max(high - low, 1e-12), 0.0, 1.0)
    return bytes(png_encode(np.ascontiguousarray((255.0 * scaled).astype(np.uint8)), level=3))


def _smoothed(path: Path, wish: Wish) -> np.ndarray:
    image, pixel_size = _read(path, wish.section)
    return smooth(image, pixel_size, wish.low_pass) if wish.low_pass and pixel_size else image


def _read(path: Path, section: int) -> tuple[np.ndarray, float]:
    shape = shape_of(path)
    if shape.nx * shape.ny > _MOST_PIXELS:
        raise CryosnakeError(f"{path.name} is too large to be shown: {shape.nx} x {shape.ny}")
    if section >= shape.nz:
        raise CryosnakeError(f"{path.name} has {shape.nz} images; there is no {section + 1}")
    if path.suffix.lower() in _MRC:  # read, not mapped: a file that is cut off meanwhile must not end the server
        return read_sections(path, [section])[0].astype(np.float32), shape.pixel_size
    if shape.nz == 1 and path.suffix.lower() != ".eer":
        return read_image(path)
    frames = read_frames(path, section + 1, section + 1, eer_grouping=_EER_GROUP)
    return frames[0].astype(np.float32), header_pixel_size(path)


def _contrast(image: np.ndarray, sigma: float) -> tuple[float, float]:
    """Return the values of black and white, from every n-th pixel of a large image."""
    step = max(1, int((image.size / 1e6) ** 0.5))
    sample = image[::step, ::step]
    if not sigma:
        low, high = np.nanpercentile(sample, (0.5, 99.5))
        return float(low), float(high)
    middle, spread = float(np.nanmean(sample)), float(np.nanstd(sample)) or 1.0
    return middle - sigma * spread, middle + sigma * spread
