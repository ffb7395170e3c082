"""Particle images read from their stacks, and images kept in memory after the first reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_images

Images = Callable[[np.ndarray], np.ndarray]  # rows (n,) -> images (n, box, box) float32


class ReadImages(Protocol):
    """Images that are read when they are asked for, and their number and size."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of images, box, box."""

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return images (n, box, box) float32, which the caller may change."""


@dataclass(frozen=True)
class StackImages:
    """Images by RELION's names.

    Attributes
    ----------
    star : str
        The file that lists them, for messages.
    names : sequence of str
    box : int
        Pixels.
    check : callable
        Called as check(star, names, images) with the images read; raises for unusable ones.
    """

    star: str
    names: Sequence[str]
    box: int
    check: Callable[[str, list[str], np.ndarray], None]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of images, box, box."""
        return len(self.names), self.box, self.box

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return images (n, box, box) float32.

        Raises
        ------
        CryosnakeError
            when a stack cannot be read, an image differs in size from the optics table, or `check` raises it
        """
        names = [self.names[row] for row in rows]
        images = read_images(names)
        if images.shape[1:] != (self.box, self.box):
            raise CryosnakeError(f"{self.star}: the images are {images.shape[2]} × {images.shape[1]} pixels (first: "
                                 f"{names[0]}), but rlnImageSize in data_optics is {self.box}. Extract them again.")
        self.check(self.star, names, images)
        return images


class KeptImages:
    """Images that stay in this process's memory once they have been read."""

    def __init__(self, source: Images, shape: tuple[int, int, int]) -> None:
        self._source = source
        self._images = np.empty(shape, np.float32)  # takes memory as it is filled
        self._have = np.zeros(shape[0], bool)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return images (n, box, box) float32."""
        missing = np.unique(rows[~self._have[rows]])
        if len(missing):
            self._images[missing] = self._source(missing)
            self._have[missing] = True
        return self._images[rows]
