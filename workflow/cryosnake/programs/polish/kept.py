"""The motion of movies as kept in this job's directory and in those of earlier Polish jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryosnake.programs.ctfrefine.kept import read_kept, write_kept
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
    write_kept(path, wanted, vars(found))  # last: with it the movie is finished
    return found, is_new


def _read(path: Path, wanted: str) -> Motion | None:
    found = read_kept(path, wanted)
    return None if found is None else Motion(**found)
