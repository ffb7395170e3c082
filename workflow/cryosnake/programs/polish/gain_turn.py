"""How the gain that a movie's metadata names lies on its frames."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.io.gain import FLIPS
from cryosnake.io.star import read_star

_JOB_STAR, _VALUES = "job.star", "joboptions_values"
_TURNS = {"gain_rot": (0, 1, 2, 3), "gain_flip": tuple(FLIPS)}


def gain_turn(metadata: str, gain: str) -> tuple[int, int]:
    """Return rotation, in quarter turns, and flip that a gain still needs, as of `read_gain`.

    Metadata name the gain as it lies on the frames: motion correction writes a turned copy. Earlier versions of this
    MotionCorr named the reference that the job was given, and did not write how it was turned: that is in the job.star
    of its directory. Metadata outside a job directory are taken at their word.

    Raises
    ------
    CryosnakeError
        when job.star does not say how its own reference was turned
    """
    job = next((folder / _JOB_STAR for folder in Path(metadata).parents if (folder / _JOB_STAR).exists()), None)
    if job is None:
        return 0, 0
    options = _options(str(job))
    given = options.get("fn_gain_ref", "")
    if not given or os.path.normpath(given) != os.path.normpath(gain):
        return 0, 0
    rotation, flip = (_choice(job, options, name) for name in _TURNS)
    return rotation, flip


@lru_cache(maxsize=8)  # a job has thousands of movies
def _options(path: str) -> dict[str, str]:
    table = read_star(path).get(_VALUES)
    if table is None or not {"rlnJobOptionVariable", "rlnJobOptionValue"} <= set(table):
        return {}
    return dict(zip(table["rlnJobOptionVariable"].astype(str), table["rlnJobOptionValue"].astype(str), strict=True))


def _choice(job: Path, options: dict[str, str], name: str) -> int:
    """Return the number at the end of a choice such as "90 degrees (1)"."""
    text = options.get(name, "(0)")
    found = re.search(r"\((\d+)\)\s*$", text) or re.fullmatch(r"\s*(\d+)\s*", text)
    number = int(found.group(1)) if found else -1
    if number not in _TURNS[name]:
        raise CryosnakeError(f"{job}: {name} is {text!r}, so how the gain reference lies on the frames is not known; "
                             "polishing with a gain that lies wrongly would spoil all images. Correct it, or run "
                             "MotionCorr again")
    return number
