"""The join of a job's batches to its output STAR, which completes the job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.io.star import write_star
from cryosnake.jobs.forms import PerMicrograph
from cryosnake.jobs.model import JobType
from cryosnake.project.records.batches import Finished, batch_key, batch_star, read_done, revisions
from cryosnake.running.arguments import Arguments
from cryosnake.running.batch_tables import table_name
from cryosnake.running.frame import finish
from cryosnake.running.nodes import check_outputs, declare_outputs, made_outputs

FAILED_STAR = "failed_micrographs.star"


@dataclass(frozen=True)
class _Part:
    """The text of one batch's STAR: everything before the rows of its table, and the rows."""

    head: str
    labels: tuple[str, ...]
    rows: str


def join_batches(job_type: JobType, program: PerMicrograph, arguments: Arguments) -> None:
    """Write the job's output STAR from its batches, list the micrographs left out, and finish the job.

    Raises
    ------
    CryosnakeError
        when too many micrographs failed, or none are left
    """
    out = arguments.out
    keys = [batch_key(number, revision) for number, revision in sorted(revisions(out).items())]
    left_out = [item for number in revisions(out) for item in read_done(out, number).values() if item.state != "ok"]
    total = sum(len(read_done(out, number)) for number in revisions(out))
    _check_failures(arguments, left_out, total)
    main = Path(made_outputs(job_type, arguments)[0][0])
    _write_joined(main, table_name(job_type, program, arguments), [batch_star(out, key) for key in keys])
    _write_left_out(Path(out), left_out)
    finalise = getattr(program, "finalise", None)
    if finalise:
        finalise(arguments.options, arguments.inputs, Path(out), main)
    check_outputs(job_type, arguments)
    declare_outputs(job_type, arguments)
    finish(Path(out))
    print(_summary(job_type, out, total, left_out))


def _check_failures(arguments: Arguments, left_out: list[Finished], total: int) -> None:
    failed = [item for item in left_out if item.state == "failed"]
    limit = getattr(arguments.options, "max_failed", 1.0)
    if total and len(failed) > limit * total:
        raise CryosnakeError(f"{len(failed)} of {total} micrographs failed, more than max_failed = {limit:g} allows; "
                             f"the first: {failed[0]} Fix the cause, then `cryosnake retry {arguments.out}`")


def _write_joined(main: Path, table: str, paths: list[str]) -> None:
    """Join as text: parsing a million rows to write them unchanged would take minutes."""
    found = {path: part for path in paths if (part := _split(path, table)) is not None}
    parts = list(found.values())
    if not parts:
        raise CryosnakeError(f"{main}: no micrograph is left to list (all failed, were rejected, or had no picks); "
                             f"{main.parent / FAILED_STAR} names the reasons")
    wrong = next((path for path, part in found.items() if part.labels != parts[0].labels), None)
    if wrong:
        raise CryosnakeError(f"{wrong}: its columns differ from those of {next(iter(found))}; one of them was written "
                             "by another program: delete that one, and it is made again")
    with replacing(main, durable=True) as temporary, open(temporary, "w") as file:
        file.write(parts[0].head)
        file.writelines(part.rows for part in parts)
        file.write(" \n")


def _split(path: str, table: str) -> _Part | None:
    text = Path(path).read_text()
    marker = f"data_{table}\n"
    start = text.find(marker)
    if start < 0:
        return None  # RELION's rule: an empty table is not written
    lines = text[start:].split("\n")
    first = next(i for i, line in enumerate(lines) if i and line.startswith("_"))
    last = first
    while last < len(lines) and lines[last].startswith("_"):
        last += 1
    end = next((i for i in range(last, len(lines)) if not lines[i].strip()), len(lines))
    if end == last:
        return None
    head = text[:start] + "\n".join(lines[:last]) + "\n"
    return _Part(head, tuple(line.split()[0] for line in lines[first:last]), "\n".join(lines[last:end]) + "\n")


def _write_left_out(out: Path, left_out: list[Finished]) -> None:
    path = out / FAILED_STAR
    if not left_out:
        path.unlink(missing_ok=True)
        return
    write_star(path, {"left_out": pd.DataFrame({"rlnMicrographName": [item.name for item in left_out],
                                                "csnState": [item.state for item in left_out],
                                                "csnReason": [item.reason for item in left_out]})})


def _summary(job_type: JobType, out: str, total: int, left_out: list[Finished]) -> str:
    failed = sum(item.state == "failed" for item in left_out)
    rejected = len(left_out) - failed
    text = f"{job_type.title} {out}: {total - len(left_out)} of {total} micrographs"
    return text + (f", {failed} failed" if failed else "") + (f", {rejected} rejected" if rejected else "")
