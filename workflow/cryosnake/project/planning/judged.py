"""Which batches of a curation are concerned when limits or flags change: those in which a micrograph's outcome does.

Beside each batch its program notes what it judged (`batches/0001.judged`): the limits and flags that held, and of each
micrograph its numbers and the outcome. So a plan opens no table.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.json_files import parse_json
from cryosnake.limits import limits_of, why_out
from cryosnake.project.config.curation import curation_file, decided
from cryosnake.project.planning.planned import PlannedJob
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.final_marks import is_final


def judged_otherwise(job: PlannedJob, numbers: Iterable[int]) -> set[int]:
    """Return the batches, of these, in which a micrograph would now be judged otherwise than it was.

    Raises
    ------
    CryosnakeError
        when there are such batches and the job is final, or the file of its decisions is damaged
    """
    parameters = job.config.parameters()
    limits, flags = decided(job.name, parameters["limits"], parameters["flags"])
    wanted = _digest(limits, flags)
    found = {number for number in numbers if _differs(_judged_file(job.path, number), wanted, limits, flags)}
    if found and is_final(job.path):
        raise CryosnakeError(f"{job.path} ({job.name}) is final, and {curation_file(job.name)} or config.yaml now "
                             f"accepts or rejects other micrographs. Restore the file, or remove the mark: "
                             f"`cryosnake mark {job.name} not-final`")
    return found


def note_judged(job: str, number: int, limits: Mapping[str, str], flags: Mapping[str, str],
                rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Note what a batch was judged by; `rows` are those of its micrographs by their names below the job directory."""
    numbers = {root: {label: float(value) for label, value in row.items()
                      if isinstance(value, int | float) and math.isfinite(value)} for root, row in rows.items()}
    labels = sorted({label for row in numbers.values() for label in row})
    columns = {label: [row.get(label) for row in numbers.values()] for label in labels}
    own = {root: flags[root] for root in rows if root in flags}
    body = json.dumps({"names": list(rows), "limits": dict(limits), "flags": own, "columns": columns})
    write_text(_judged_file(job, number), f"{_digest(limits, flags)}\n{body}\n")


def _judged_file(job: str, number: int) -> Path:
    return Path(job, BATCHES, f"{number:04d}.judged")


def _digest(limits: Mapping[str, str], flags: Mapping[str, str]) -> str:
    return blake2b(json.dumps([dict(limits), dict(flags)], sort_keys=True).encode(), digest_size=16).hexdigest()


_known: dict[str, tuple[tuple[int, int, str], bool]] = {}  # a watched project is planned every few seconds


def _differs(path: Path, wanted: str, limits: Mapping[str, str], flags: Mapping[str, str]) -> bool:
    """Whether a batch would be judged otherwise; one without a note, or with a damaged one, is judged again."""
    try:
        status = os.stat(path)
        stamp = (status.st_size, status.st_mtime_ns, wanted)
        if _known.get(str(path.absolute()), (None,))[0] != stamp:
            head, body = path.read_text().splitlines()
            _known[str(path.absolute())] = stamp, head != wanted and _compare(parse_json(body), limits, flags)
        return _known[str(path.absolute())][1]
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return True


def _compare(noted: Mapping[str, Any], texts: Mapping[str, str], flags: Mapping[str, str]) -> bool:
    names, columns = noted["names"], noted["columns"]
    before, now = limits_of(noted["limits"]), limits_of(texts)
    if now.keys() - columns.keys():
        return bool(names)  # its program says what is wrong
    return any(_reasons(columns, index, before, noted["flags"].get(name, ""))
               != _reasons(columns, index, now, flags.get(name, "")) for index, name in enumerate(names))


def _reasons(columns: Mapping[str, list[float | None]], index: int, limits: Mapping[str, Any], flag: str) -> Any:
    values = {label: math.nan if (value := columns[label][index]) is None else value
              for label in limits if label in columns}
    return why_out(values, {label: limit for label, limit in limits.items() if label in values}, flag)
