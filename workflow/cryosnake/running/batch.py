"""One batch of a per-micrograph job: only unfinished micrographs, failures recorded, the batch's STAR at the end.

A micrograph is finished when its products exist and the stamp of what they were made from is the present one. Each
is recorded as it is finished, so that a killed batch resumes where it was.
"""

from __future__ import annotations

import errno
import json
import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryosnake.errors import CryosnakeError, Rejected
from cryosnake.io.paths import micrograph_root
from cryosnake.jobs.forms import PerMicrograph, Progress, Row
from cryosnake.jobs.model import JobType
from cryosnake.project.records.batches import DROPPED, Finished, batch_number, done_file, product_files, read_done
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.freshness import is_done
from cryosnake.running.arguments import Arguments
from cryosnake.running.batch_tables import BatchInput, read_input, write_output
from cryosnake.running.regenerated import AGAIN, refuse_loss, restore_times
from cryosnake.running.stamps import stamper

FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


@dataclass
class Tally:
    """How the micrographs of a batch ended in this run."""

    done: int = 0
    kept: int = 0
    failed: int = 0
    rejected: int = 0


def run_batch(job_type: JobType, program: PerMicrograph, arguments: Arguments, progress: Progress) -> None:
    """Process the unfinished micrographs of one batch and write `batches/<key>.star`.

    Raises
    ------
    CryosnakeError
        when every micrograph of the batch failed (of three or more), or the disk is full
    """
    out, number = Path(arguments.out), batch_number(arguments.batch)
    start = time.monotonic()
    batch = read_input(job_type, program, arguments)
    stamp = stamper(job_type, arguments.inputs)
    earlier = read_done(str(out), number)
    rows = _read_rows(out, number)
    states = _States(program, arguments.options, arguments.inputs)
    tally = Tally()
    with _Records(out, number) as records:
        for name in earlier.keys() - batch.rows.keys():  # left out upstream since
            records.add(Finished(name, "", DROPPED, ""))
        for index, (name, row) in enumerate(batch.rows.items()):
            progress(index, len(batch.rows), name)
            made_from, before = stamp(name), earlier.get(name)
            if is_done(before, made_from, product_files(str(out), job_type.products, name), name in rows):
                tally.kept += 1
                continue
            result = _one(program, row, batch.optics[row["rlnOpticsGroup"]], states, out, name)
            _count(tally, result)
            if before is not None and before.stamp == made_from and AGAIN in arguments.batch:
                refuse_loss(out, before, result.state, result.reason)
                if name in rows:
                    continue  # its record and its rows stand
            if result.rows is not None:
                rows[name] = result.rows
                records.add_rows(name, result.rows)
            if result.state == "failed" and not all(stamp(name).split(" ")):
                made_from = stamp(name)  # its input vanished under it: it is tried again when that is back
            records.add(Finished(name, made_from, result.state, result.reason))
    progress(len(batch.rows), len(batch.rows), "")
    now = read_done(str(out), number)
    restore_times(job_type, out, [name for name, item in earlier.items() if now.get(name) == item])
    _report(job_type, arguments, tally, time.monotonic() - start)
    good = {name for name, item in read_done(str(out), number).items() if item.state == "ok"}
    _refuse_total_failure(out, number, batch, good)
    write_output(job_type, program, arguments, batch, {name: rows[name] for name in batch.rows if name in good})


@dataclass(frozen=True)
class _Result:
    state: str
    reason: str = ""
    rows: list[Row] | None = None


class _States:
    """What `prepare` returns, once per optics group and only when a micrograph of it is to be done."""

    def __init__(self, program: PerMicrograph, options: Any, inputs: Mapping[str, Path]) -> None:
        self._program, self._options, self._inputs = program, options, inputs
        self._states: dict[Any, Any] = {}

    def of(self, optics: Row) -> Any:
        group = optics["rlnOpticsGroup"]
        if group not in self._states:
            self._states[group] = self._program.prepare(self._options, optics, self._inputs)
        return self._states[group]


def _one(program: PerMicrograph, row: Row, optics: Row, states: _States, out: Path,
         name: str) -> _Result:
    state = states.of(optics)  # outside the try: a wrong gain or reference is the job's fault, not the micrograph's
    root = micrograph_root(out, name)
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        rows = program.process(row, optics, state, root)
    except Rejected as error:
        return _Result("rejected", _one_line(error))
    except (MemoryError, KeyboardInterrupt):
        raise
    except OSError as error:
        if error.errno in FATAL:
            raise
        return _Result("failed", _one_line(error))
    except CryosnakeError as error:
        return _Result("failed", _one_line(error))
    except Exception as error:
        traceback.print_exc()
        return _Result("failed", f"unexpected {type(error).__name__}: {_one_line(error)}")
    return _Result("ok", "", [rows] if isinstance(rows, dict) else list(rows))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


class _Records:
    """Appends to `batches/NNNN.done` and `.rows`, each line on disk before the next micrograph begins."""

    def __init__(self, out: Path, number: int) -> None:
        self._done, self._rows = open(done_file(str(out), number), "ab"), open(_rows_file(out, number), "ab")
        for file in (self._done, self._rows):
            if file.tell() and not _ends_with_newline(file.name):
                file.write(b"\n")  # the torn last line of a killed program

    def __enter__(self) -> _Records:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.close()
        self._rows.close()

    def add(self, item: Finished) -> None:
        self._done.write("\t".join((item.name, item.stamp, item.state, item.reason)).encode() + b"\n")
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


def _rows_file(out: Path, number: int) -> Path:
    return out / BATCHES / f"{number:04d}.rows"


def _read_rows(out: Path, number: int) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    try:
        text = _rows_file(out, number).read_text()
    except FileNotFoundError:
        return rows
    for line in text.splitlines():
        try:
            name, found = json.loads(line)
        except ValueError:
            continue  # a torn line: its micrograph has no line in the .done file either
        rows[name] = found
    return rows


def _count(tally: Tally, result: _Result) -> None:
    tally.done += result.state == "ok"
    tally.failed += result.state == "failed"
    tally.rejected += result.state == "rejected"


def _report(job_type: JobType, arguments: Arguments, tally: Tally, seconds: float) -> None:
    parts = [f"{tally.done} done"] + [f"{count} {what}" for count, what in (
        (tally.kept, "finished before"), (tally.failed, "failed"), (tally.rejected, "rejected")) if count]
    print(f"{job_type.title} {arguments.out} batch {arguments.batch}: {', '.join(parts)} ({seconds:.1f} s)")


def _refuse_total_failure(out: Path, number: int, batch: BatchInput, good: set[str]) -> None:
    if good or len(batch.rows) < 3:
        return
    failed = [item for item in read_done(str(out), number).values() if item.state == "failed"]
    if len(failed) == len(batch.rows):
        raise CryosnakeError(f"all {len(failed)} micrographs of batch {number:04d} failed; the first: "
                             f"{failed[0]} Mend the cause; a changed parameter makes a new job, else "
                             f"`cryosnake retry {out}` asks for them again")
