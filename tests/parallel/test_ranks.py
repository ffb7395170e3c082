"""Ranks of MPI: sums and messages, and that one rank's failure or an abort request stops all, with its message."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cryosnake.errors import Aborted, CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.parallel.ranks import SingleRank, StopHeard, problem_of
from cryosnake.parallel.world import lead, started_ranks
from cryosnake.programs.refinement.ranks import ADDED, EACH, share_of
from cryosnake.programs.refinement.step import Accumulated

PROGRAM = Path(__file__).with_name("mpi_job.py")


@pytest.fixture
def job(mpirun, tmp_path):
    """Start a case of mpi_job.py; returns the process and the job directory."""
    def start(case: str, ranks: int = 2):
        write_mrc(tmp_path / "particles.mrcs", np.ones((40, 16, 16)) * np.arange(40)[:, None, None], 1.0, stack=True)
        (tmp_path / "scratch").mkdir()
        environment = os.environ | {"TEST_SCRATCH": str(tmp_path / "scratch")}
        process = subprocess.Popen([*mpirun(ranks), str(PROGRAM), "--out", "Test/job001", "--case", case], cwd=tmp_path,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        return process, tmp_path / "Test/job001"

    return start


def ended(process) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"the ranks hang: {process.communicate()}")
    return process.returncode, out, err


@pytest.mark.parametrize("ranks", [2, 3])
def test_sums_and_messages_of_any_size(job, ranks) -> None:
    code, out, err = ended(job("sums", ranks)[0])
    assert code == 0 and "all right" in out, err


def test_every_way_of_reading_gives_each_rank_its_images(job) -> None:
    code, out, err = ended(job("reads", 3)[0])
    assert code == 0 and "all right" in out, err


@pytest.mark.parametrize(("case", "message"), [
    ("fails", "particles.mrcs is gone; bring it back"),
    ("fails_while_others_wait", "unexpected ZeroDivisionError on rank 1"),
    ("fails_on_the_first", "the disk is full; free space"),
    ("waits_for_images", "rank 0 fails while others read"),
    ("reads_what_is_gone", "gone.mrcs cannot be read"),
])
def test_a_failure_on_one_rank_stops_all_with_its_message(job, case, message) -> None:
    process, out = job(case)
    code, _, err = ended(process)
    assert code == 1
    assert message in err
    assert message in (out / "run.err").read_text() or message in err
    assert (out / "RELION_JOB_EXIT_FAILURE").exists()


@pytest.mark.parametrize("case", ["computes", "waits"])
def test_an_abort_request_reaches_all_ranks(job, case) -> None:
    process, out = job(case)
    deadline = time.monotonic() + 60
    while not all((out / f"computes{rank}").exists() for rank in (0, 1)):
        assert time.monotonic() < deadline and process.poll() is None, ended(process)
        time.sleep(0.05)
    (out / "RELION_JOB_ABORT_NOW").touch()
    code, _, err = ended(process)
    assert code == 2 and "aborted on request" in err
    assert (out / "RELION_JOB_EXIT_ABORTED").exists() and not (out / "RELION_JOB_ABORT_NOW").exists()


def test_a_terminated_job_leaves_its_files_in_order(job) -> None:
    process, out = job("computes")
    while not (out / "computes1").exists():
        assert process.poll() is None, ended(process)
        time.sleep(0.05)
    process.terminate()
    assert ended(process)[0] != 0
    assert (out / "RELION_JOB_EXIT_ABORTED").exists()


def test_what_the_environment_says_about_ranks() -> None:
    assert started_ranks({}) == 1
    assert started_ranks({"SLURM_NTASKS": "8", "SLURM_JOB_ID": "1"}) == 1  # a batch script, no srun
    assert started_ranks({"SLURM_NTASKS": "8", "PMIX_RANK": "0"}) == 8
    assert started_ranks({"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "2", "PMIX_RANK": "0"}) == 2
    assert started_ranks({"OMPI_COMM_WORLD_SIZE": "4"}) == 4
    assert started_ranks({"PMI_SIZE": "3"}) == 3


def test_every_field_of_what_a_rank_gathered_is_combined() -> None:
    assert {field.name for field in fields(Accumulated)} == {"sums", "assigned", *ADDED, *EACH}


@pytest.mark.parametrize(("size", "sets", "shares"), [
    (1, 2, [[3, 4]]), (2, 2, [[3, 0], [0, 4]]), (4, 2, [[1, 0], [0, 2], [2, 0], [0, 2]]),
    (3, 2, [[1, 1], [1, 1], [1, 2]]), (3, 1, [[2], [2], [3]])])
def test_particles_are_shared_out_once(size, sets, shares) -> None:
    counts = (3, 4) if sets == 2 else (7,)
    found = [[share_of(SimpleNamespace(rank=rank, size=size), number, sets, count)
              for number, count in enumerate(counts)] for rank in range(size)]
    assert [[len(part) for part in parts] for parts in found] == shares
    for number, count in enumerate(counts):
        assert sorted(np.concatenate([parts[number] for parts in found])) == list(range(count))


def test_one_rank_alone_shares_with_nobody() -> None:
    ranks = SingleRank()
    assert lead(ranks, lambda: 5) == 5 and ranks.gather(1) == [1] and ranks.broadcast(2) == 2
    array = np.ones(3)
    assert ranks.add_up(array) is array


def test_problems_of_exceptions() -> None:
    assert isinstance(problem_of(Aborted(), 0).exception(), Aborted)
    assert problem_of(CryosnakeError("a; b"), 1).text == "a; b"
    assert problem_of(StopHeard(), 2).relayed
    assert "bug in cryosnake" in problem_of(KeyError("x"), 1).text and problem_of(KeyError("x"), 1).trace
