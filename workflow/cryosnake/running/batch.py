"""One batch of a per-micrograph job: process unfinished micrographs, record failures, write the batch's STAR.

A micrograph is finished when its products exist and the stamp of what they were made from is up to date. Each is
recorded as soon as it is finished, so that a killed batch resumes where it stopped.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from cryosnake.atomic import own_file
from cryosnake.errors import PERMISSION, CryosnakeError, Rejected, machine_error, machine_message
from cryosnake.io.paths import micrograph_root, product_root
from cryosnake.jobs.forms import Partly, PerMicrograph, Progress, Row
from cryosnake.jobs.model import JobType
from cryosnake.project.planning.judged import note_judged
from cryosnake.project.records.batches import (
    DROPPED,
    Finished,
    batch_number,
    done_file,
    product_files,
    read_done,
    revisions,
)
from cryosnake.project.records.file_stamps import unsigned
from cryosnake.project.records.freshness import is_done
from cryosnake.project.records.joined_tables import FAILED_STAR
from cryosnake.project.records.unknown_names import write_unknown
from cryosnake.running.arguments import Arguments, with_decision
from cryosnake.running.batch_tables import (
    LEFT_OUT,
    found_in,
    found_in_all,
    read_input,
    read_rows,
    rows_file,
    write_output,
)
from cryosnake.running.join import list_left_out
from cryosnake.running.regenerated import AGAIN, refuse_loss, restore_times
from cryosnake.running.stamps import Stamper, stamper

_REFUSED = "refused"  # the stamp of a row that can't be used: another one as soon as it can be
_FORBIDDEN = "may not be read"


def run_batch(job_type: JobType, program: PerMicrograph, arguments: Arguments, progress: Progress) -> None:
    """Process the unfinished micrographs of one batch and write `batches/<key>.star`.

    Raises
    ------
    CryosnakeError
        when every micrograph of the batch failed (of three or more), or some may not be read
    OSError
        for what is wrong with the machine (`errors.MACHINE_ERRORS`), not with the micrograph that was at work
    """
    out, number = Path(arguments.out), batch_number(arguments.batch)
    start = time.monotonic()
    arguments = with_decision(arguments) if job_type.judges else arguments
    batch = read_input(job_type, program, arguments)
    stamp = stamper(job_type, arguments.inputs)
    earlier = read_done(str(out), number)
    rows = read_rows(out, number)
    tally: Counter[str] = Counter()
    forbidden: list[str] = []
    unknown = dict(batch.unknown)
    same: set[str] = set()  # micrographs whose input is the recorded one

    @cache
    def prepared(group: int) -> Any:
        """Return what the program prepares for an optics group, only when one of its micrographs is processed."""
        state = program.prepare(arguments.options, batch.optics[group], arguments.inputs)
        unknown.update(program.unknown(state, batch.rows) if hasattr(program, "unknown") else {})
        return state

    with closing(_Records(out, number)) as records:
        for name in earlier.keys() - batch.rows.keys():  # left out upstream since
            records.add(Finished(name, "", DROPPED, ""))
        for index, (name, row) in enumerate(batch.rows.items()):
            progress(index, len(batch.rows), name)
            made_from, before = _REFUSED if name in batch.refused else stamp(name), earlier.get(name)
            if before is not None and made_from != _REFUSED and stamp.is_same(before.stamp, name):
                before = _with_times_of_now(before, made_from, stamp, records)
                made_from = before.stamp
                same.add(name)
            files = product_files(str(out), job_type.products, name)
            if not job_type.judges and is_done(before, made_from, files, name in rows):
                tally["finished before"] += 1
                continue
            if name in batch.refused:
                result = _Result("failed", batch.refused[name])
            else:
                made_from, group = stamp(name, signed=True), row.get("rlnOpticsGroup")
                if group in batch.optics:  # preparing may raise: a wrong gain is the job's fault, not the micrograph's
                    result = _process_one(program, name, row, batch.optics[group], prepared(group), out)
                else:
                    result = _Result("failed", f"it is in optics group {group}, which data_optics does not describe; "
                                               f"correct that, then `cryosnake retry {out}`")
            if job_type.judges and result.state == "rejected":
                result = replace(result, rows=[row])  # for the table of those that are left out
            tally[result.state] += 1
            if result.state == _FORBIDDEN:  # no record: tried again by the next run, after all others of this one
                forbidden.append(result.reason)
                continue
            if before is not None and name in same and AGAIN in arguments.batch:
                refuse_loss(out, before, result.state, result.reason)
                if name in rows:
                    continue  # its record and its rows stay as they are
            if result.rows is not None:
                rows[name] = result.rows
                records.add_rows(name, result.rows)
            if result.state == "failed" and name not in batch.refused and not all(stamp(name).split(" ")):
                made_from = stamp(name)  # its input disappeared meanwhile: it is tried again when that exists again
            records.add(Finished(name, made_from, result.state, result.reason))
    progress(len(batch.rows), len(batch.rows), "")
    if unknown:
        write_unknown(str(out), number, unknown)
    now = read_done(str(out), number)
    restore_times(job_type, out, [name for name in same if name in now and now[name].state == earlier[name].state])
    others = ("finished before", "failed", "rejected", _FORBIDDEN)
    parts = [f"{tally['ok']} done"] + [f"{tally[what]} {what}" for what in others if tally[what]]
    parts += filter(None, [found_in_all(now[name] for name in batch.rows if name in now)])
    print(f"{job_type.title} {out} batch {arguments.batch}: {', '.join(parts)} ({time.monotonic() - start:.1f} s)")
    if forbidden:
        raise CryosnakeError(f"{len(forbidden)} of {len(batch.rows)} micrographs may not be read; the first: "
                             f"{forbidden[0]}")
    _refuse_total_failure(out, number, len(batch.rows), now.values())
    if job_type.judges:
        _note_batch(arguments, number, batch.rows)
    good = {name: rows[name] for name in batch.rows if name in now and now[name].state == "ok"}
    write_output(job_type, program, arguments, batch, good)


def _note_batch(arguments: Arguments, number: int, rows: Mapping[str, Row]) -> None:
    """Note what the micrographs of a batch were judged by, for later plans."""
    root = len(arguments.out) + 1
    note_judged(arguments.out, number, arguments.options.limits or {}, arguments.options.flags or {},
                {product_root(arguments.out, name)[root:]: row for name, row in rows.items()})


def _with_times_of_now(item: Finished, made_from: str, stamp: Stamper, records: _Records) -> Finished:
    """Return the record of a micrograph whose input is the same, with the present times of its files, recorded."""
    if unsigned(item.stamp) != made_from and "" not in made_from.split(" "):
        item = replace(item, stamp=stamp(item.name, signed=True))
        records.add(item)
    return item


@dataclass(frozen=True)
class _Result:
    state: str
    reason: str = ""
    rows: list[Row] | None = None


def _process_one(program: PerMicrograph, name: str, row: Row, optics: Row, state: Any, out: Path) -> _Result:
    try:
        root = micrograph_root(out, name)
        root.parent.mkdir(parents=True, exist_ok=True)
        rows = program.process(row, optics, state, root)
    except Rejected as error:
        return _Result("rejected", _one_line(error))
    except (MemoryError, KeyboardInterrupt):
        raise
    except (CryosnakeError, OSError) as error:
        fault = machine_error(error)
        if fault is None:
            return _Result("failed", _one_line(error))
        if fault.errno in PERMISSION and fault.filename and not Path(str(fault.filename)).is_relative_to(out):
            return _Result(_FORBIDDEN, machine_message(fault))
        fault.filename = fault.filename or f"a file of {name} in {out}"
        raise fault from None
    except Exception as error:
        traceback.print_exc()
        return _Result("failed", f"unexpected {type(error).__name__}: {_one_line(error)}")
    if isinstance(rows, Partly):
        return _Result("ok", f"{found_in(rows.rows)}{LEFT_OUT}{rows.left_out}", rows.rows)
    rows = [rows] if isinstance(rows, dict) else list(rows)
    return _Result("ok", found_in(rows), rows)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


class _Records:
    """Appends to `batches/NNNN.done` and `.rows`; each line is on disk before the next micrograph starts."""

    def __init__(self, out: Path, number: int) -> None:
        self._done = open(done_file(str(out), number), "ab", opener=own_file)
        try:
            self._rows = open(rows_file(out, number), "ab", opener=own_file)
        except BaseException:
            self._done.close()
            raise
        for file in (self._done, self._rows):
            if file.tell() and not _ends_with_newline(file.name):
                file.write(b"\n")  # the torn last line of a killed program

    def close(self) -> None:
        self._done.close()
        self._rows.close()

    def add(self, item: Finished) -> None:
        self._done.write(item.line().encode(errors="backslashreplace"))
        self._done.flush()

    def add_rows(self, name: str, rows: list[Row]) -> None:
        self._rows.write(json.dumps([name, rows], default=_plain).encode() + b"\n")
        self._rows.flush()


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _ends_with_newline(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _refuse_total_failure(out: Path, number: int, total: int, items: Collection[Finished]) -> None:
    failed = [item for item in items if item.state == "failed"]
    if total >= 3 and len(failed) == total and not any(item.state == "ok" for item in items):
        list_left_out(str(out), sorted({number, *revisions(str(out))}))
        raise CryosnakeError(f"all {len(failed)} micrographs of batch {number:04d} failed; the first: "
                             f"{failed[0]} Fix the cause; if no parameter changes (which would make a new job), "
                             f"`cryosnake retry {out}` processes them again. {out / FAILED_STAR} lists them")
