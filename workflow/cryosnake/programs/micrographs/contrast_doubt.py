"""The doubt that particles are bright where dark ones are picked, or dark where bright ones are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryosnake.numerics.picking.background import WorkingImage
from cryosnake.numerics.picking.contrast import darkness

_LOOKED_AT = 6  # micrographs of a process
_ENOUGH = 3  # of them, and none the other way round
_SURE = 4.0  # s.d.; healthy micrographs stay above -2.2, whatever they hold (docs/what-is-noticed.md)


@dataclass(kw_only=True)
class ContrastDoubt:
    """The doubt about the micrographs of one process; `size` of particles is a diameter in Å, `dark` what is stated."""

    size: float
    dark: bool
    _looked: int = 0
    _right: int = 0
    _wrong: int = 0

    def look_at(self, micrograph: Path, working: WorkingImage) -> None:
        """Say once when the blobs of the first micrographs, in which particles should be dark by now, are bright."""
        if self._looked >= _LOOKED_AT or self._right or self._wrong >= _ENOUGH:
            return
        self._looked += 1
        found = darkness(working, self.size)
        self._right += found > _SURE
        self._wrong += found < -_SURE
        if self._wrong == _ENOUGH:
            seen, wanted = ("bright", "dark") if self.dark else ("dark", "bright")
            print(f"WARNING: {micrograph}: what has the size of the particles is {seen}, and {wanted} particles are "
                  f"picked, as in {_ENOUGH - 1} micrographs before. Is the contrast inverted? If the particles are "
                  f"{seen}, set invert: {str(not self.dark).lower()}, here and in Extract.",
                  flush=True)
