"""Stopping programs: abort requests reach every batch within one micrograph, SIGTERM leaves its reason."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest

from cryosnake.io.star import write_star
from cryosnake.pipeline.edit import add_process
from cryosnake.pipeline.files import read_pipeline, write_pipeline
from cryosnake.pipeline.markers import ABORT_REQUEST, exit_of
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.project.locks.snakemake_lock import CLAIM, claim_run
from cryosnake.project.records.run_times import read_run_times

OUT = "CtfFind/job003"
PROGRAM = """
    import sys, time
    from types import SimpleNamespace
    import cryosnake.running.run as run
    from cryosnake.jobs.model import MICROGRAPHS, JobType, Output, Parameter, Slot

    JOB = JobType(name="fake", folder="CtfFind", relion3=2, label="relion.ctffind", title="Fake", description="A test.",
        inputs=(Slot("micrographs", (MICROGRAPHS,), "Micrographs."),),
        outputs=(Output("micrographs", "out.star", MICROGRAPHS),),
        parameters=(Parameter("seconds", float, 60.0, "How long"),),
        program="fake", per_micrograph=True, products=("{root}.txt",))

    def process(row, optics, state, root):
        print("working", flush=True)
        end = time.monotonic() + state.seconds
        while time.monotonic() < end:  # one long unit of work, in which nobody looks for a request
            try:
                time.sleep(0.02)
            except Exception:  # a program may take any error for its own
                pass
        root.with_suffix(".txt").touch()
        return row

    fake = SimpleNamespace(prepare=lambda options, optics, inputs: options, process=process)
    run.import_module = lambda name: fake
    sys.exit(run.run_job(JOB, sys.argv[1:]))
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    optics = pd.DataFrame([{"rlnOpticsGroup": 1, "rlnOpticsGroupName": "a"}])
    for number in range(1, 5):
        name = f"Movies/m{number}.mrc"
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
        table = pd.DataFrame({"rlnMicrographName": [name], "rlnOpticsGroup": 1})
        write_star(f"in{number}.star", {"optics": optics, "micrographs": table})
    write_pipeline("default_pipeline.star", add_process(Pipeline(), Process(f"{OUT}/")))
    return tmp_path


def start(batch: int, *extra: str, wait: bool = True) -> subprocess.Popen[str]:
    words = ["--out", OUT, "--micrographs", f"in{batch}.star", "--batch", f"{batch:04d}", *extra]
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PROGRAM), *words], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    if wait:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
    return process


def end(process: subprocess.Popen[str]) -> int:
    print(*process.communicate(timeout=50))
    return process.returncode


def status() -> Status:
    return read_pipeline("default_pipeline.star").processes[f"{OUT}/"].status


def test_a_request_reaches_all_batches_of_a_run_and_none_begins_after_it(project) -> None:
    claim_run()
    batches = [start(number) for number in (1, 2)]
    Path(OUT, ABORT_REQUEST).touch()
    assert [end(process) for process in batches] == [2, 2]
    assert status() == exit_of(OUT) == Status.ABORTED
    assert end(start(4, wait=False)) == 2  # the same run begins another batch
    assert not Path("CtfFind/job003/batches/0004.star").exists()
    assert {run.outcome for run in read_run_times(OUT)} == {"aborted"}
    CLAIM.unlink()
    time.sleep(0.02)
    claim_run()  # the next run: the old request is nobody's
    assert end(start(4, "--seconds", "0")) == 0
    assert not Path(OUT, ABORT_REQUEST).exists()


def test_started_by_hand_the_last_batch_removes_the_request(project) -> None:
    batches = [start(number) for number in (1, 2)]
    Path(OUT, ABORT_REQUEST).touch()
    assert [end(process) for process in batches] == [2, 2]
    assert end(start(3, "--seconds", "0")) == 0
    assert not Path(OUT, ABORT_REQUEST).exists()


def test_a_terminated_program_is_a_failed_job_with_its_reason(project) -> None:
    process = start(1)
    process.send_signal(signal.SIGTERM)
    assert end(process) == 1
    assert status() == exit_of(OUT) == Status.FAILED
    assert "0001: ended by SIGTERM from outside" in Path(OUT, "run.err").read_text()
    assert Path("CtfFind/job003/batches/0001.done").read_text() == ""  # the micrograph is not to blame
    assert end(start(1, "--seconds", "0")) == 0
    assert [run.outcome for run in read_run_times(OUT)] == ["failed", "ok"]
