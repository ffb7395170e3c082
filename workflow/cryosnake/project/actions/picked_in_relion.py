"""Picks that were changed in a job directory after the job had written them: by RELION, which can open it again.

They are a person's decisions as those in `decisions/<job>/` are, and are taken over there before anything is saved or
made again. Where both were changed, the newer one counts, and the other one is set aside, not lost.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryosnake.atomic import write_text
from cryosnake.json_files import read_json
from cryosnake.project.records.file_stamps import is_same_file, signed_stamp

if TYPE_CHECKING:
    from cryosnake.io.coordinates.decided import Decided

SUFFIX = "_manualpick.star"
WRITTEN = ".cryosnake_written.json"  # the stamps of the files as the job wrote them
SELECTION = "local_selection.star"  # RELION's tick boxes
BY = "relion"


@dataclass(frozen=True, kw_only=True)
class _Changed:
    """A micrograph whose picks or tick were changed; `path` has its picks there, "" where only the tick was changed."""

    micrograph: str
    path: str
    decision: Path
    selected: bool
    newer: bool  # than the decision


def note_written(directory: str) -> None:
    """Record what a job has written: from then on, what differs was changed by somebody else."""
    files = [name for name in (*_below(directory), SELECTION) if os.path.exists(f"{directory}/{name}")]
    write_text(f"{directory}/{WRITTEN}", json.dumps({name: signed_stamp(f"{directory}/{name}") for name in files}))


def changed_in_relion(folder: str, directory: str, only: str = "") -> dict[str, Decided]:
    """Return what was changed in a job directory and is newer than the decision in `folder`, by the movie's root.

    With `only` of that root. A directory whose job has not ended, or is not ours, has no changes.
    """
    from cryosnake.io.coordinates.decided import root_of

    return {root_of(one.micrograph): _decided(one) for one in _changes(folder, directory)
            if one.newer and only in ("", root_of(one.micrograph))}


def adopt(folder: str, directory: str) -> list[str]:
    """Take over as decisions what was changed in a job directory; return the micrographs."""
    from cryosnake.io.coordinates.decided import write_decided

    found = list(_changes(folder, directory))
    made = os.stat(f"{directory}/{WRITTEN}").st_mtime_ns if found else 0
    for one in found:
        decided = _decided(one)  # before anything is moved
        if not one.newer:
            set_aside(Path(one.path), one.decision)
            continue
        if one.decision.exists() and one.decision.stat().st_mtime_ns > made:
            set_aside(one.decision, one.decision)
        write_decided(one.decision, decided)
    if found:
        note_written(directory)
    return [one.micrograph for one in found if one.newer]


def _changes(folder: str, directory: str) -> Iterator[_Changed]:
    """Yield the micrographs whose picks were changed, or whose tick differs from what was decided."""
    from cryosnake.io.coordinates.decided import decided_file, read_decided

    written = _written(directory)
    if not written:
        return
    ticked = not is_same_file(written.get(SELECTION, ""), f"{directory}/{SELECTION}")
    changed = {name for name in _below(directory) if not is_same_file(written.get(name, ""), f"{directory}/{name}")}
    for micrograph, selected in ticks_of(f"{directory}/{SELECTION}").items() if changed or ticked else ():
        name, decision = _name_below(micrograph), decided_file(folder, micrograph)
        if name in changed:
            yield _Changed(micrograph=micrograph, path=f"{directory}/{name}", decision=decision, selected=selected,
                           newer=_is_newer(f"{directory}/{name}", decision))
        elif ticked and decision.exists() and read_decided(decision).selected != selected and _is_newer(
                f"{directory}/{SELECTION}", decision):
            yield _Changed(micrograph=micrograph, path="", decision=decision, selected=selected, newer=True)


def _decided(one: _Changed) -> Decided:
    from cryosnake.io.coordinates.decided import Decided, read_decided
    from cryosnake.io.coordinates.tables import places_of, read_coordinates_file
    from cryosnake.io.movies import header_pixel_size

    if not one.path:
        return replace(read_decided(one.decision), selected=one.selected)
    there = os.path.exists(one.micrograph)
    return Decided(micrograph=one.micrograph, signature=signed_stamp(one.micrograph) if there else "", by=BY,
                   pixel_size=header_pixel_size(one.micrograph) if there else 0.0, selected=one.selected,
                   date=time.strftime("%Y-%m-%d %H:%M", time.localtime(os.stat(one.path).st_mtime)),
                   places=places_of(read_coordinates_file(Path(one.path))))


def _written(directory: str) -> dict[str, str]:
    try:
        return dict(read_json(Path(directory, WRITTEN))) if directory else {}
    except (OSError, ValueError, TypeError):
        return {}


def ticks_of(path: str) -> dict[str, bool]:
    """Return whether each micrograph of RELION's list is ticked; {} without it."""
    from cryosnake.io.star import read_star

    if not os.path.exists(path):
        return {}
    table = next(iter(read_star(path).values()))
    if "rlnMicrographName" not in table:
        return {}
    ticks = table["rlnSelected"] if "rlnSelected" in table else [1] * len(table)
    return {str(name): bool(int(tick)) for name, tick in zip(table["rlnMicrographName"], ticks, strict=True)}


def _name_below(micrograph: str) -> str:
    from cryosnake.io.paths import post_name

    return f"{os.path.splitext(post_name(micrograph))[0]}{SUFFIX}"


def _below(directory: str) -> set[str]:
    """Return the files with picks in a job directory, by their names below it."""
    found = set()
    for place, _, names in os.walk(directory):
        found |= {os.path.normpath(os.path.join(os.path.relpath(place, directory), name)) for name in names
                  if name.endswith(SUFFIX) and not name.startswith((".", "coords_suffix"))}
    return found


def _is_newer(path: str, decision: Path) -> bool:
    return not decision.exists() or os.stat(path).st_mtime_ns > decision.stat().st_mtime_ns


def set_aside(path: Path, decision: Path) -> None:
    """Keep the contents of a file beside a decision, under a name that counts for nothing."""
    number = next(number for number in range(1, 1000) if not os.path.lexists(f"{decision}.{number}"))
    write_text(f"{decision}.{number}", path.read_text(encoding="utf-8", errors="surrogateescape"))
