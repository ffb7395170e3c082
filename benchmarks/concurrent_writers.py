"""Several writers of ours, and RELION's own, on one project: what is lost, which lock stays, how long one waits.

    python benchmarks/concurrent_writers.py [--updates 1000] [--writers 4] [--no-relion]

Each writer is a process that makes its share of the updates through `update_pipeline`: a new job, its alias, a node
with its edge, its status. Meanwhile `relion_pipeliner` adds jobs and checks completion, over and over. In the end every
update must stand in the file. Exit code 1 when one is lost, a lock is left, or RELION failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryosnake.pipeline.edit import add_node, add_process, set_alias, set_status
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline, write_pipeline
from cryosnake.pipeline.lock import LOCK_DIRECTORY, update_pipeline
from cryosnake.pipeline.model import Node, Pipeline, Process, Status, job_name
from cryosnake.pipeline.unlocked import read_pipeline_unlocked

FOLDERS = ("MotionCorr", "CtfFind", "Extract", "Class2D", "Class3D", "Refine3D", "MaskCreate", "PostProcess")
PAUSE = 0.02  # seconds between the updates of one writer; a real job makes two in its life


def write(folder: str, updates: int) -> None:
    """Make so many updates on jobs of one folder; print, as JSON, the jobs made and the longest wait."""
    made: list[list[str]] = []
    longest = 0.0
    for number in range(updates):
        begin = time.monotonic()
        if number % 4 == 0:
            made.append([_new_job(folder), "", "", ""])
        else:
            _change(made[-1], number % 4)
        longest = max(longest, time.monotonic() - begin)
        time.sleep(PAUSE)
    print(json.dumps({"made": made, "longest": longest}))


def _new_job(folder: str) -> str:
    before: list[str] = []

    def add(pipeline: Pipeline) -> Pipeline:
        before[:] = [job_name(folder, pipeline.counter)]
        return add_process(pipeline, Process(before[0], "", f"relion.{folder.lower()}", FOLDERS.index(folder) + 1))

    update_pipeline("", add)
    return before[0]


def _change(job: list[str], kind: int) -> None:
    name = job[0]
    if kind == 1:
        job[1] = f"alias_{os.getpid()}_{name[-4:-1]}"
        update_pipeline("", lambda pipeline: set_alias(pipeline, name, job[1]))
    elif kind == 2:
        job[2] = f"{name}particles.star"
        node = Node(job[2], "ParticleGroupMetadata.star.relion", 3)
        update_pipeline("", lambda pipeline: add_node(pipeline, node, name))
    else:
        job[3] = Status.SUCCEEDED.label
        update_pipeline("", lambda pipeline: set_status(pipeline, name, Status.SUCCEEDED))


def relion_meanwhile(running: list[subprocess.Popen[str]]) -> tuple[int, int, float]:
    """Call relion_pipeliner until the writers are done; return calls, jobs that it added, and its longest call."""
    calls = added = 0
    longest = 0.0
    while any(process.poll() is None for process in running) or not added:
        words = ["--addJob", "Import"] if calls % 2 == 0 else ["--check_job_completion"]
        begin = time.monotonic()
        done = subprocess.run(["relion_pipeliner", *words], capture_output=True, text=True, check=False,
                              env={**os.environ, "RELION_SHELL": "bash"})
        longest = max(longest, time.monotonic() - begin)
        if done.returncode:
            raise SystemExit(f"relion_pipeliner {' '.join(words)}: {done.stdout}{done.stderr}")
        calls += 1
        added += words[0] == "--addJob"
        read_pipeline_unlocked()  # somebody looks at the project all the time
    return calls, added, longest


def missing(jobs: list[list[str]], relion: int) -> list[str]:
    """Return what of the updates does not stand in the project's pipeline."""
    pipeline = read_pipeline(PIPELINE_FILE)
    lost = []
    for name, alias, node, status in jobs:
        process = pipeline.processes.get(name)
        if process is None:
            lost.append(name)
            continue
        lost += [f"alias of {name}"] * (process.short_alias != alias)
        lost += [node] * (bool(node) and pipeline.producers.get(node) != name)
        lost += [f"status of {name}"] * (bool(status) and process.status.label != status)
    imports = sum(name.startswith("Import/") for name in pipeline.processes)
    return lost + [f"{relion - imports} jobs of RELION"] * (imports != relion)


def main() -> int:
    """Run the writers in a project of their own and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=1000, help="updates of all writers together")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--no-relion", action="store_true", help="our writers alone")
    parser.add_argument("--as-writer", nargs=2, metavar=("FOLDER", "UPDATES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_writer:
        write(arguments.as_writer[0], int(arguments.as_writer[1]))
        return 0
    with_relion = not arguments.no_relion and shutil.which("relion_pipeliner") is not None
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        code = _measure(arguments.updates, arguments.writers, with_relion)
        os.chdir("/")
    return code


def _measure(updates: int, writers: int, with_relion: bool) -> int:
    write_pipeline(PIPELINE_FILE, Pipeline())
    begin = time.monotonic()
    running = [subprocess.Popen([sys.executable, __file__, "--as-writer", FOLDERS[n % len(FOLDERS)],
                                 str(updates // writers)], stdout=subprocess.PIPE, text=True) for n in range(writers)]
    calls, added, longest_call = relion_meanwhile(running) if with_relion else (0, 0, 0.0)
    outputs = [process.communicate()[0] for process in running]
    seconds = time.monotonic() - begin
    if any(process.returncode for process in running):
        print("a writer failed")
        return 1
    results = [json.loads(output) for output in outputs]
    lost = missing([job for result in results for job in result["made"]], added)
    locks = [path.name for path in Path().iterdir() if path.name.startswith(LOCK_DIRECTORY)]
    count = updates // writers * writers
    print(f"{count} updates by {writers} writers in {seconds:.1f} s ({count / seconds:.0f}/s), longest wait "
          f"{max(result['longest'] for result in results):.2f} s")
    if with_relion:
        print(f"RELION: {calls} calls of relion_pipeliner, {added} jobs added, longest call {longest_call:.1f} s")
    print(f"lost: {', '.join(lost) or 'none'}; locks left: {', '.join(locks) or 'none'}")
    return int(bool(lost or locks))


if __name__ == "__main__":
    sys.exit(main())
