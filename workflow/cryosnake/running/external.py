"""External programs in our frame, by RELION's protocol for External jobs.

The program gets `--o JOB/`, its inputs by type, up to ten options and `--j N`. It may write RELION_JOB_EXIT_SUCCESS or
RELION_JOB_EXIT_FAILURE, obey RELION_JOB_ABORT_NOW and declare more nodes in RELION_OUTPUT_NODES.star; a program that
does none of this is judged by its exit code and by the outputs that the config declares, and terminated on request.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from cryosnake.errors import Aborted, CryosnakeError
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import ExternalOptions
from cryosnake.pipeline.job_star import OUTPUT_NODES_FILE
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status

FLAGS = {"movies": "--in_movies", "micrographs": "--in_mics", "particles": "--in_parts", "coordinates": "--in_coords",
         "map": "--in_3dref", "mask": "--in_mask"}
GRACE = 10.0  # seconds that a program has to obey an abort request by itself


def run(options: ExternalOptions, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Run the program to its end.

    Raises
    ------
    CryosnakeError
        when it can't be started, failed, or left out a file that the config declares
    Aborted
        when the user asked for it
    """
    import scipy.fft

    threads = scipy.fft.get_workers()  # as many as our own programs would use
    words = command(options, inputs, out, threads)
    (out / OUTPUT_NODES_FILE).unlink(missing_ok=True)  # from an earlier run
    print(shlex.join(words))
    code, said = _supervised(words, threads, progress)
    _raise_failure(words[0], code, said, out)
    files = [text.rpartition(":")[0] or text for text in options.outputs.values()]
    missing = [file for file in files if not (out / file).exists()]
    if missing:
        raise CryosnakeError(f"{words[0]} succeeded, but did not make {', '.join(missing)}; correct `outputs:` in "
                             "config.yaml, or the program's parameters")


def command(options: ExternalOptions, inputs: Mapping[str, Path], out: Path, threads: int) -> list[str]:
    """Return the command line, as RELION would write it.

    Raises
    ------
    CryosnakeError
        when the program does not exist, or can't be executed
    """
    program = shlex.split(options.executable)
    if not program or shutil.which(program[0]) is None:
        raise CryosnakeError(f"executable: {options.executable!r} does not exist or can't be executed; give its path, "
                             "relative to the project or absolute, and make it executable (chmod +x)")
    words = [*program, "--o", f"{out}/"]
    for slot, flag in FLAGS.items():
        if slot in inputs:
            words += [flag, str(inputs[slot])]
    for name, value in (options.parameters or {}).items():
        words += [f"--{name}", *([value] if value else [])]
    return [*words, "--j", str(threads)]


def _supervised(words: list[str], threads: int, progress: Progress) -> tuple[int, str]:
    """Run the program in a process group of its own, with its output in run.out and run.err.

    Returns its exit code, and the last line that it wrote to standard error.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    try:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, errors="replace", env=environment, start_new_session=True,
                                   preexec_fn=_die_with_parent)
    except OSError as error:
        raise CryosnakeError(f"{words[0]} can't be started: {error.strerror}") from error
    assert process.stdout and process.stderr
    said: deque[str] = deque(maxlen=1)
    readers = [threading.Thread(target=_copy, args=(process.stdout, sys.stdout), daemon=True),
               threading.Thread(target=_copy, args=(process.stderr, sys.stderr, said), daemon=True)]
    for reader in readers:
        reader.start()
    try:
        while process.poll() is None:
            progress(0, 0, "")
            time.sleep(0.1)
    except Aborted:
        _terminate(process, GRACE)
        raise
    except BaseException:
        _terminate(process, 0.0)
        raise
    finally:
        for reader in readers:
            reader.join(5)
    return process.returncode, said[-1] if said else ""


def _copy(source: IO[str], target: IO[str], kept: deque[str] | None = None) -> None:
    """Copy lines from a stream to another; those that are not empty also to `kept`."""
    for line in source:
        target.write(line)
        if kept is not None and line.strip():
            kept.append(line.strip())
    source.close()


def _terminate(process: subprocess.Popen[str], grace: float) -> None:
    """Wait for a program that may stop by itself, then terminate it and all that it started, then kill them."""
    for number, seconds in ((0, grace), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        if number:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def _raise_failure(program: str, code: int, said: str, out: Path) -> None:
    """Raise the failure that the exit file reports, or, without one, the exit code."""
    status = exit_of(out)
    if status == Status.ABORTED:
        raise Aborted
    if status == Status.SUCCEEDED:
        return
    if status == Status.FAILED or code:
        how = "wrote RELION_JOB_EXIT_FAILURE" if status == Status.FAILED else f"exited with code {code}"
        words = f" ({said})" if said else ""
        raise CryosnakeError(f"{program} {how}{words}; its output is in {out}/run.out and run.err")


def _die_with_parent() -> None:
    """Ask the kernel to terminate the program when this process is killed, so that no second one runs beside it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
