"""The picture of an iteration, run_itNNN.png beside its files: drawn while that is cheap."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.numerics.symmetry import operators

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARE = 0.02  # of the time that the job has run
_GUESS = 0.5  # s, for the first picture, with Matplotlib's import
_MOST_VIEWS = 20_000
_DPI = 100


@dataclass
class Pictures:
    """The time that the pictures of a job took so far; none are drawn where `wanted` is False.

    Attributes
    ----------
    wanted : bool
    begun : float
        Seconds of the monotonic clock.
    spent, last : float
        Seconds for all pictures and for the last one.
    """

    wanted: bool
    begun: float = field(default_factory=time.monotonic)
    spent: float = 0.0
    last: float = _GUESS

    def draw(self, path: str, figure: Callable[[], Figure], final: bool = False) -> None:
        """Write the figure as PNG if it fits the share of the time that pictures may take, or is the job's last.

        A picture that cannot be drawn is reported, and never fails a job.
        """
        begin = time.monotonic()
        if not self.wanted or not (final or self.spent + self.last <= _SHARE * (begin - self.begun)):
            return
        try:
            from cryosnake.report.panels.figures import save

            save(figure(), Path(path), dpi=_DPI)
        except Exception as error:  # a map may be unusual in any way
            print(f"no picture {path}: {type(error).__name__}: {error}")
        self.last = time.monotonic() - begin
        self.spent += self.last


def views(poses: np.ndarray, symmetry: str) -> np.ndarray:
    """Return the viewing directions (n, 3) of particles at poses (n, 3, 3) and at all equivalent poses."""
    group = operators(symmetry)
    most = max(_MOST_VIEWS // len(group), 1)
    some = poses[:: max(1, -(-len(poses) // most)), 2]
    return np.einsum("ni,mij->mnj", some, group).reshape(-1, 3)
