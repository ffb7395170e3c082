"""The join of a job's batches to its output STAR, which completes the job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.forms import PerMicrograph
from cryosnake.jobs.model import JobType
from cryosnake.project.records.batches import Finished, batch_key, batch_star, read_done, revisions
from cryosnake.project.records.joined_tables import FAILED_STAR, record_joined, write_joined
from cryosnake.project.records.unknown_names import LACKING, read_unknown
from cryosnake.running.arguments import Arguments
from cryosnake.running.batch_tables import LEFT_OUT, found_in_all, read_rows, table_name
from cryosnake.running.frame import finish
from cryosnake.running.nodes import check_outputs, declare_outputs, made_outputs

REJECTED_STAR, REASON = "micrographs_rejected.star", "cryosnakeReason"  # of jobs that judge; the column of reasons

# States in failed_micrographs.star, beside those of `Finished`: another table has no row of it; some of its particles
# are left out; it is in a table of coordinates or particles, but none of the micrographs
WITHOUT, PARTLY, UNKNOWN = "without", "partly", "unknown"


def join_batches(job_type: JobType, program: PerMicrograph, arguments: Arguments) -> None:
    """Write the job's output STAR from its batches, list the micrographs left out, and finish the job.

    Raises
    ------
    CryosnakeError
        when too many micrographs failed, or none are left
    """
    out = arguments.out
    keys = [batch_key(number, revision) for number, revision in sorted(revisions(out).items())]
    items = [item for number in revisions(out) for item in read_done(out, number).values()]
    left_out = list_left_out(out, revisions(out))  # before anything that refuses names the list
    _check_failures(arguments, items)
    main = Path(made_outputs(job_type, arguments)[0][0])
    write_joined(main, table_name(job_type, program, arguments), [batch_star(out, key) for key in keys])
    if job_type.judges:
        _write_rejected(out, table_name(job_type, program, arguments))
    finalise = getattr(program, "finalise", None)
    if finalise:
        finalise(arguments.options, arguments.inputs, Path(out), main)
    check_outputs(job_type, arguments)
    record_joined(str(main), keys)
    declare_outputs(job_type, arguments)
    finish(Path(out))
    print(_summary(job_type, out, items, left_out))


def list_left_out(out: str, batches: Iterable[int]) -> list[Finished]:
    """Write failed_micrographs.star, and return what is in it.

    That are the micrographs without results, those of which some particles were left out, and those that tables of
    coordinates or particles list though the job was not given them.
    """
    items = [item for number in batches for item in read_done(out, number).values()]
    partly = [Finished(item.name, "", PARTLY, item.reason.partition(LEFT_OUT)[2]) for item in items
              if item.state == "ok" and LEFT_OUT in item.reason]
    noted = read_unknown(out, batches)
    without = [Finished(name, "", WITHOUT, why) for name, why in sorted(noted.pop(LACKING, {}).items())]
    unknown = [Finished(name, "", UNKNOWN, f"{table} lists {what} of it, but it is none of the micrographs")
               for table, names in noted.items() for name, what in sorted(names.items())]
    left_out = [item for item in items if item.state != "ok"] + without + partly + unknown
    _write_left_out(Path(out), left_out)
    return left_out


def _write_rejected(out: str, table: str) -> None:
    """Write the rows that all batches of a job rejected, each with the reason; optics alone where there are none."""
    rejected: list[dict[str, Any]] = []
    optics = None
    for number, revision in sorted(revisions(out).items()):
        rows = read_rows(Path(out), number)
        rejected += [{**row, REASON: item.reason} for name, item in read_done(out, number).items()
                     if item.state == "rejected" for row in rows.get(name, ())]
        if optics is None:
            optics = read_star(batch_star(out, batch_key(number, revision))).get("optics")
    tables = {} if optics is None else {"optics": optics}
    write_star(Path(out, REJECTED_STAR), {**tables, **({table: pd.DataFrame(rejected)} if rejected else {})})


def _check_failures(arguments: Arguments, items: list[Finished]) -> None:
    failed = [item for item in items if item.state == "failed"]
    limit = getattr(arguments.options, "max_failed", 1.0)
    if items and len(failed) > limit * len(items):
        raise CryosnakeError(f"{len(failed)} of {len(items)} micrographs failed, more than max_failed = {limit:g} "
                             f"allows; the first: {failed[0]} Fix the cause, then `cryosnake retry {arguments.out}`. "
                             f"{arguments.out}/{FAILED_STAR} lists them")


def _write_left_out(out: Path, left_out: list[Finished]) -> None:
    path = out / FAILED_STAR
    if not left_out:
        path.unlink(missing_ok=True)
        return
    write_star(path, {"left_out": pd.DataFrame({"rlnMicrographName": [_quotable(item.name) for item in left_out],
                                                "csnState": [item.state for item in left_out],
                                                "csnReason": [_quotable(item.reason) for item in left_out]})})


def _quotable(text: str) -> str:
    """Return a text with one kind of quotes, as a STAR file holds it."""
    return text.replace('"', "'") if '"' in text and "'" in text else text


def _summary(job_type: JobType, out: str, items: list[Finished], left_out: list[Finished]) -> str:
    count = Counter(item.state for item in left_out)
    done = sum(item.state == "ok" for item in items)
    parts = [f"{done} of {len(items) + count[WITHOUT]} micrographs", found_in_all(items)]
    parts += [f"{count[state]} {state}" for state in ("failed", "rejected") if count[state]]
    if count[WITHOUT]:
        parts.append(f"{count[WITHOUT]} without a row in another table ({FAILED_STAR} lists them)")
    if count[PARTLY]:
        parts.append(f"some particles of {count[PARTLY]} micrographs left out ({FAILED_STAR} lists them)")
    if count[UNKNOWN]:
        parts.append(f"input of {count[UNKNOWN]} unknown micrographs left out ({FAILED_STAR} lists them)")
    return f"{job_type.title} {out}: {', '.join(filter(None, parts))}"
