"""The motion of movies as kept in this job's directory and in those of earlier Polish jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cryosnake.atomic import replacing
from cryosnake.programs.polish.motion import Motion
from cryosnake.programs.polish.output import write_motion
from cryosnake.programs.polish.particles import MovieParticles


def kept_motion(folder: Path, movie: MovieParticles, wanted: str, find: Callable[[], Motion]) -> tuple[Motion, bool]:
    """Return a movie's motion, and whether it was found only now, not by this or an earlier Polish job from the same.

    `wanted` is the signature of all that it depends on. It is written to `folder`, with RELION's files.
    """
    path = folder / f"{movie.name}_motion.npz"
    found = _read(path, wanted)
    if found is not None:
        return found, False
    others = sorted((place for place in folder.parent.glob("job*") if place.name != folder.name), reverse=True)
    earlier = (_read(place / f"{movie.name}_motion.npz", wanted) for place in others)
    found = next((motion for motion in earlier if motion is not None), None)
    is_new = found is None
    if found is None:
        found = find()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_motion(folder, movie, found)
    with replacing(path) as temporary, open(temporary, "wb") as file:  # last: with it the movie is finished
        np.savez(file, signature=np.array(wanted), **vars(found))
    return found, is_new


def _read(path: Path, wanted: str) -> Motion | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
            if str(found["signature"]) == wanted:
                return Motion(**{key: found[key] for key in found.files if key != "signature"})
    except (OSError, ValueError, KeyError, EOFError):  # absent, or damaged: it is computed again
        return None
    except Exception as error:  # zipfile.BadZipFile and zlib.error are no ValueErrors
        print(f"{path} is damaged ({error}) and computed again")
    return None
