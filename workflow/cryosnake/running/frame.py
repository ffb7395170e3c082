"""The frame around a program: the directory's lock, run.out and run.err, status and exit files."""

from __future__ import annotations

import fcntl
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryosnake.atomic import own_file
from cryosnake.errors import MACHINE_ERRORS, Aborted, CryosnakeError, machine_message
from cryosnake.jobs.model import JobType, root_name
from cryosnake.pipeline.markers import ABORT_REQUEST, append_note, clear_exit, exit_of, set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.locks.job_status import set_job_status, set_succeeded, write_reason
from cryosnake.project.locks.work_locks import lock_file, own_identity
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.run_times import Stopwatch, add_run_time
from cryosnake.running import abort_request
from cryosnake.running.arguments import Arguments
from cryosnake.running.interrupts import Terminated
from cryosnake.running.logs import copied_to_logs
from cryosnake.running.progress import JobProgress

TERMINATED = ("ended by SIGTERM from outside: a scheduler's time or memory limit, scancel, or a kill; the same command "
              "continues where it stopped")


@contextmanager
def job_frame(job_type: JobType, arguments: Arguments) -> Iterator[JobProgress]:
    """Run the body as a job: mark it running, and failed or aborted when the body raises.

    Raises
    ------
    CryosnakeError
        for any failure; the traceback of unexpected errors is in run.err
    Aborted
        when RELION_JOB_ABORT_NOW was found
    """
    out = Path(arguments.out)
    _make_directory(out, job_type)
    with _directory_lock(out, arguments.batch) as waited, copied_to_logs(out):
        progress = JobProgress(out, f"{job_type.title} {arguments.batch}".strip(), root_name(vars(arguments.options)))
        progress.found_finished = waited and exit_of(out) == Status.SUCCEEDED
        _start(out, arguments)
        with _timed(out, arguments):
            try:
                yield progress
            except (Aborted, KeyboardInterrupt):
                _end(out, Status.ABORTED, arguments.batch)
                raise Aborted from None
            except Terminated:
                raise _failed(out, arguments, TERMINATED) from None
            except (CryosnakeError, OSError, MemoryError) as error:
                raise _failed(out, arguments, _message(error)) from error
            except Exception as error:
                traceback.print_exc()
                raise _failed(out, arguments, f"unexpected {type(error).__name__}: {error}; this is a bug in "
                              f"cryosnake, please report it with {out}/run.err") from error
            finally:
                progress.close()


def _failed(out: Path, arguments: Arguments, reason: str) -> CryosnakeError:
    """Record that the job failed, with the reason in run.err, and return the exception to raise."""
    _end(out, Status.FAILED, arguments.batch)
    write_reason(out, f"{arguments.batch}: {reason}" if arguments.batch else reason)
    return CryosnakeError(reason)


@contextmanager
def _timed(out: Path, arguments: Arguments) -> Iterator[None]:
    """Add a line to the job's run_times.tsv, whether the body succeeds or fails."""
    stopwatch = Stopwatch("join" if arguments.join else arguments.batch, arguments.threads)
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    except Aborted:
        outcome = "aborted"
        raise
    finally:
        add_run_time(out, stopwatch.stop(outcome))


def finish(out: Path) -> None:
    """Record that a job is complete."""
    set_exit(out, Status.SUCCEEDED, keep_request=abort_request.stays(out, ""))
    set_succeeded(str(out))


def _start(out: Path, arguments: Arguments) -> None:
    if not arguments.join:  # Snakemake tells the age of results by it too, and an earlier run's is older than the input
        benchmark = f"{BATCHES}/{arguments.batch}.benchmark.tsv" if arguments.batch else "benchmark.tsv"
        (out / benchmark).unlink(missing_ok=True)
    clear_exit(out, *([ABORT_REQUEST] if abort_request.stays(out, arguments.batch) else []))
    if set_job_status(str(out), Status.RUNNING) or not (out / "note.txt").exists():
        append_note(out, arguments.command)


def _end(out: Path, status: Status, batch: str = "") -> None:
    set_exit(out, status, keep_request=abort_request.stays(out, batch))
    set_job_status(str(out), status)


def _make_directory(out: Path, job_type: JobType) -> None:
    try:
        (out / BATCHES if job_type.per_micrograph else out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CryosnakeError(f"{error.filename}: the job directory can't be made ({error.strerror}); fix the "
                             "permissions or free space on the disk, and run again") from error


@contextmanager
def _directory_lock(out: Path, batch: str) -> Iterator[bool]:
    """Wait for a program that still works here: a killed Snakemake leaves its programs running until they finish.

    Yields whether there was one.
    """
    path, waited = lock_file(out, batch), False
    with open(path, "a", opener=own_file) as file:  # its text names the former owner until it is ours
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{out} {batch}: a program of an earlier run is still running here; waiting for it", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
            waited = True
        except OSError as error:
            print(f"{path}: this file system has no locks ({error.strerror}); continuing without", file=sys.stderr)
        file.truncate(0)
        file.write(own_identity())
        file.flush()
        yield waited


def _message(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory ({error}); give the job more memory (resources: mem_mb) or use a smaller box"
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        return machine_message(error)
    return str(error)
