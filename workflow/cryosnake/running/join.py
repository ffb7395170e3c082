"""The join of a job's batches to its output STAR, which completes the job."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import write_star
from cryosnake.jobs.forms import PerMicrograph
from cryosnake.jobs.model import JobType
from cryosnake.project.records.batches import Finished, batch_key, batch_star, read_done, revisions
from cryosnake.project.records.joined_tables import FAILED_STAR, record_joined, write_joined
from cryosnake.running.arguments import Arguments
from cryosnake.running.batch_tables import found_in_all, table_name
from cryosnake.running.frame import finish
from cryosnake.running.nodes import check_outputs, declare_outputs, made_outputs


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
    left_out = [item for item in items if item.state != "ok"]
    _check_failures(arguments, left_out, len(items))
    main = Path(made_outputs(job_type, arguments)[0][0])
    write_joined(main, table_name(job_type, program, arguments), [batch_star(out, key) for key in keys])
    _write_left_out(Path(out), left_out)
    finalise = getattr(program, "finalise", None)
    if finalise:
        finalise(arguments.options, arguments.inputs, Path(out), main)
    check_outputs(job_type, arguments)
    record_joined(str(main), keys)
    declare_outputs(job_type, arguments)
    finish(Path(out))
    print(_summary(job_type, out, items))


def _check_failures(arguments: Arguments, left_out: list[Finished], total: int) -> None:
    failed = [item for item in left_out if item.state == "failed"]
    limit = getattr(arguments.options, "max_failed", 1.0)
    if total and len(failed) > limit * total:
        raise CryosnakeError(f"{len(failed)} of {total} micrographs failed, more than max_failed = {limit:g} allows; "
                             f"the first: {failed[0]} Fix the cause, then `cryosnake retry {arguments.out}`")


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


def _summary(job_type: JobType, out: str, items: list[Finished]) -> str:
    count = Counter(item.state for item in items)
    parts = [f"{count['ok']} of {len(items)} micrographs", found_in_all(items)]
    parts += [f"{count[state]} {state}" for state in ("failed", "rejected") if count[state]]
    return f"{job_type.title} {out}: {', '.join(filter(None, parts))}"
