"""Picking particles by hand: what there is to pick on, and the picks, written to `decisions/<job>/`.

A file per micrograph is the truth. It counts for all micrographs that were made of the same movie: its places are
scaled by the pixel sizes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from cryosnake.digests import digest
from cryosnake.errors import CryosnakeError
from cryosnake.project.actions.picked_in_relion import adopt, changed_in_relion, set_aside
from cryosnake.project.actions.picking_job import PickingJob, picking_job
from cryosnake.project.config.decisions import now
from cryosnake.project.config.picked import picked_files
from cryosnake.project.locks.decisions_lock import deciding
from cryosnake.project.records.file_stamps import is_same_file, signed_stamp
from cryosnake.project.records.final_marks import is_final

if TYPE_CHECKING:
    import numpy as np

    from cryosnake.io.coordinates.decided import Decided

NONE = "none"  # the origin of picks that there are not; others: person, automatic (to start from), relion


@dataclass(frozen=True, kw_only=True)
class ListedMicrograph:
    """A micrograph that can be picked on, and how many picks it has: of a person, or those to start from.

    `earlier`: they were made on a micrograph of the same movie with other contents (an earlier motion correction).
    """

    name: str
    picks: int
    origin: str
    earlier: bool = False
    selected: bool = True


@dataclass(frozen=True, kw_only=True)
class PickingOffer:
    """What there is to pick on for a job of the config.

    `directory` is its newest job directory, "" before the first; `diameter` (Å) that of the circles, `users` the jobs
    that have begun and take from it, `remark` where the next save goes, in words.
    """

    job: str
    directory: str
    micrographs: tuple[ListedMicrograph, ...]
    diameter: float
    users: tuple[str, ...]
    remark: str
    source: PickingJob = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A micrograph's width and height in px, and its pixel size in Å (0 where it is not known)."""

    micrograph: str
    width: int
    height: int
    pixel_size: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Picks:
    """Places (n, 2) on a micrograph, x and y in px from its first row and column; `stamp` says what they come from."""

    frame: Frame
    places: np.ndarray
    stamp: str
    origin: str
    earlier: bool
    selected: bool


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The file that was written (or was the same already), its stamp for the next save, and what became of it."""

    path: Path
    stamp: str
    remark: str


def picking_offer(text: str) -> PickingOffer:
    """Return what there is to pick on for a job of type manualpick: its name in the config, or its directory.

    Raises
    ------
    CryosnakeError
        when it is no such job, its micrographs have not been made yet, or a file of decisions is damaged
    """
    return _offer(picking_job(text))


def picks_on(offer: PickingOffer | PickingJob, micrograph: str) -> Picks:
    """Return the picks on a micrograph of a job: a person's, those that RELION changed, or those to start from.

    Raises
    ------
    CryosnakeError
        when the job has no such micrograph, or it, or a file with its picks, can't be read
    """
    return _picks(offer.source if isinstance(offer, PickingOffer) else offer, micrograph)


def save_picks(job: str, micrograph: str, places: np.ndarray | Sequence[tuple[float, float]], stamp: str, *,
               selected: bool = True) -> Saved:
    """Write the picks on a micrograph, places (n, 2) in its px; none say that it has no particles.

    Picks that were changed in RELION meanwhile are taken over first.

    Raises
    ------
    CryosnakeError
        when what is there is not what the stamp was made of, places are off the micrograph or no numbers, the job is
        final, or another program is writing
    """
    found = picking_job(job)
    with deciding(found.name):
        there = _picks(found, micrograph)
        if stamp != there.stamp:
            raise CryosnakeError(f"{micrograph}: its picks, or the micrograph, have changed since they were loaded; "
                                 "nothing was saved. Load the micrograph again to see what there is now")
        _refuse_final(found)
        checked = _on_micrograph(there.frame, places)
        adopt(found.folder, found.directory)
        path = _write(found, there.frame, checked, selected=selected)
    return Saved(path=path, stamp=_picks(found, micrograph).stamp, remark=_remark(found))


def take_picks(job: str, picks: Mapping[str, Path], selected: bool = True) -> list[Path]:
    """Write the picks of coordinate files (STAR, .box, .cbox) by micrograph; return the files of decisions.

    They take the place of picks that were there, which are set aside (`….star.1`). A file may have been picked on
    another micrograph of the same movie: the name in `picks` is that which it was picked on, and places are scaled by
    the pixel sizes.

    Raises
    ------
    CryosnakeError
        when none of these is a micrograph of the job, a file can't be read, or as for `save_picks`; then nothing was
        written
    """
    from cryosnake.io.coordinates.tables import places_of, read_coordinates_file

    found = picking_job(job)
    own = found.like(picks)
    if not own:
        raise CryosnakeError(f"{job} has none of these micrographs, such as {next(iter(picks), 'none')}; `cryosnake "
                             f"pick {job}` lists those that it has")
    _refuse_final(found)
    with deciding(found.name):
        frames = {other: _frame(name) for other, name in own.items()}
        places = {other: _on_micrograph(frame, places_of(read_coordinates_file(picks[other])) * _scale(other, frame))
                  for other, frame in frames.items()}
        adopt(found.folder, found.directory)
        return [_write(found, frame, places[other], selected=selected, keep=True) for other, frame in frames.items()]


def _scale(other: str, frame: Frame) -> float:
    """Return by how much places on another micrograph of the same movie are to be multiplied."""
    if other == frame.micrograph or not os.path.exists(other) or not frame.pixel_size:
        return 1.0
    return (_frame(other).pixel_size or frame.pixel_size) / frame.pixel_size


def _offer(job: PickingJob) -> PickingOffer:
    from cryosnake.io.coordinates.decided import read_decided, root_of

    decided = {name.removesuffix(".star"): read_decided(Path(job.folder, name)) for name in picked_files(job.folder)}
    relion = changed_in_relion(job.folder, job.directory)
    listed = []
    for name in job.micrographs:
        root = root_of(name)
        known = relion.get(root) or decided.get(root)
        if known:
            listed.append(ListedMicrograph(name=name, picks=len(known.places), origin=known.by,
                                           earlier=_is_earlier(known, name), selected=known.selected))
        else:
            file = job.start.get(name, "")
            count = job.counts[file] if file in job.counts else _count(file)
            listed.append(ListedMicrograph(name=name, picks=count, origin=job.start_origin if count else NONE))
    return PickingOffer(job=job.name, directory=job.directory, micrographs=tuple(listed), diameter=job.diameter,
                        users=tuple(job.users), remark=_remark(job), source=job)


def _picks(job: PickingJob, micrograph: str) -> Picks:
    from cryosnake.io.coordinates.decided import decided_file, read_decided, root_of

    if micrograph not in job.micrographs:
        raise CryosnakeError(f"{job.name} has no micrograph {micrograph}; `cryosnake pick {job.name}` lists them")
    frame = _frame(micrograph)
    path = decided_file(job.folder, micrograph)
    known = changed_in_relion(job.folder, job.directory, only=root_of(micrograph)).get(root_of(micrograph))
    known = known or (read_decided(path) if path.exists() else None)
    sources = [micrograph, str(path)]
    if known:
        places, origin, selected = known.at(frame.pixel_size), known.by, known.selected
    else:
        start = job.start.get(micrograph, "")
        places, selected = _start(start), True
        origin = job.start_origin if len(places) else NONE
        sources.append(start)
    stamp = blake2b(digest_size=12)
    for source in sources:
        stamp.update(f"{source}:{_digest(source)}\n".encode())
    stamp.update(places.tobytes())
    return Picks(frame=frame, places=places, stamp=stamp.hexdigest(), origin=origin, selected=selected,
                 earlier=known is not None and _is_earlier(known, micrograph))


def _write(job: PickingJob, frame: Frame, places: np.ndarray, *, selected: bool, keep: bool = False) -> Path:
    """Write a decision; one that says the same already stays as it is, so that nothing is made again for it.

    With `keep`, what was there is set aside.
    """
    import numpy as np

    from cryosnake.io.coordinates.decided import Decided, decided_file, read_decided, write_decided

    path = decided_file(job.folder, frame.micrograph)
    made = Decided(micrograph=frame.micrograph, signature=signed_stamp(frame.micrograph), places=places, date=now(),
                   pixel_size=frame.pixel_size, selected=selected)
    before = read_decided(path) if path.exists() else None
    same = before and before.by == made.by and before.selected == selected and not _is_earlier(
        before, frame.micrograph) and before.places.shape == places.shape and np.allclose(before.places, places,
                                                                                         rtol=0, atol=1e-4)
    if not same:
        if before and keep:
            set_aside(path, path)
        write_decided(path, made)
    return path


def _on_micrograph(frame: Frame, places: np.ndarray | Sequence[tuple[float, float]]) -> np.ndarray:
    import numpy as np

    found = np.asarray(places, np.float64).reshape(-1, 2) if len(places) else np.empty((0, 2))
    off = ~(np.isfinite(found).all(1) & (found >= 0).all(1) & (found <= [frame.width - 1, frame.height - 1]).all(1))
    if off.any():
        x, y = found[off][0]
        raise CryosnakeError(f"{frame.micrograph}: {np.count_nonzero(off)} of {len(found)} picks lie off the "
                             f"micrograph of {frame.width} × {frame.height} pixels, the first at x {x:g}, y {y:g}; "
                             "nothing was saved. Were they picked at another pixel size?")
    return found


def _refuse_final(job: PickingJob) -> None:
    if job.directory and is_final(job.directory):
        raise CryosnakeError(f"{job.directory} ({job.name}) is final, and other picks would take its place: remove the "
                             f"mark (`cryosnake mark {job.directory} not-final`), or add another job of type "
                             "manualpick to config.yaml")


def _remark(job: PickingJob) -> str:
    if not job.directory:
        return f"saved picks are in {job.folder}; the next run makes a ManualPick job of them"
    if is_final(job.directory):
        return f"{job.directory} is final: nothing can be saved"
    if job.users:
        return (f"{', '.join(job.users)} took from {job.directory}: picks that are saved now make a new ManualPick job "
                f"in the next run, and {job.directory} stays as it is")
    return f"picks that are saved now change {job.directory}, which the next run makes again"


def _is_earlier(known: Decided, micrograph: str) -> bool:
    return os.path.exists(micrograph) and not is_same_file(known.signature, micrograph)


def _frame(micrograph: str) -> Frame:
    from cryosnake.io.movies import header_pixel_size, movie_info
    from cryosnake.io.mrc_header import read_header

    if not os.path.exists(micrograph):
        raise CryosnakeError(f"{micrograph} does not exist: run the job that makes it again")
    if micrograph.endswith(".mrc"):
        header = read_header(micrograph)
        return Frame(micrograph=micrograph, width=header.nx, height=header.ny, pixel_size=header.pixel_size)
    info = movie_info(micrograph)
    return Frame(micrograph=micrograph, width=info.width, height=info.height, pixel_size=header_pixel_size(micrograph))


def _start(path: str) -> np.ndarray:
    import numpy as np

    from cryosnake.io.coordinates.tables import places_of, read_coordinates_file

    return places_of(read_coordinates_file(Path(path))) if path and os.path.exists(path) else np.empty((0, 2))


def _count(path: str) -> int:
    from cryosnake.io.star_rows import count_rows

    if not path or not os.path.exists(path):
        return 0
    if path.endswith(".star"):
        return count_rows(path, ("",)) or count_rows(path)
    with suppress(CryosnakeError):
        return len(_start(path))
    return 0


def _digest(path: str) -> str:
    try:
        return digest(path)
    except OSError:
        return ""
