"""Snakemake's lock: removed after a kill, never under a living run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.processes import process
from cryosnake.project.locks.snakemake_lock import CLAIM, claim_lane, claim_run, release_claim, running_claim
from cryosnake.project.snakemake_internals import LOCKS


@pytest.fixture
def locked(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    LOCKS.mkdir(parents=True)
    lock = LOCKS / "0.output.lock"
    lock.write_text("particles.star")
    return lock


def claim_of(pid: int, file: Path = CLAIM) -> None:
    CLAIM.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(asdict(process(pid))))


def test_the_lock_of_a_killed_run_is_removed(locked) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    claim_of(process.pid)
    assert claim_run() == ""
    assert locked.exists()
    assert running_claim() is not None
    process.kill()
    process.wait()
    assert running_claim() is None
    assert str(process.pid) in claim_run()
    assert not locked.exists()
    assert json.loads(CLAIM.read_text())["pid"] == os.getpid()


def test_a_reused_process_number_is_not_the_owner(locked) -> None:
    claim_of(os.getpid())
    owner = json.loads(CLAIM.read_text())
    CLAIM.write_text(json.dumps({**owner, "pid": os.getppid(), "start": "1"}))  # who had the number before our parent
    assert claim_run() != ""
    assert not locked.exists()


def test_a_run_on_another_machine_is_left_alone(locked) -> None:
    claim_of(os.getpid())
    owner = json.loads(CLAIM.read_text())
    CLAIM.write_text(json.dumps({**owner, "host": "elsewhere"}))
    assert claim_run() == ""
    assert locked.exists()


def test_without_a_claim_the_lock_is_snakemakes_affair(locked) -> None:
    assert claim_run() == ""
    assert locked.exists()
    assert running_claim() is not None


@pytest.fixture
def other(locked) -> Iterator[subprocess.Popen[bytes]]:
    """A process that works in the lane of particles."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    claim_of(process.pid, CLAIM.with_name("run_particles.json"))
    yield process
    process.kill()
    process.wait()


def test_while_a_lane_is_at_work_no_run_begins_and_the_other_lane_does(other) -> None:
    assert claim_run() == ""  # a plan may be made, for -n and --summary
    assert not CLAIM.exists()
    with pytest.raises(CryosnakeError, match=rf"works in this project, on particles \(process {other.pid} on"):
        claim_run(insist=True)
    with pytest.raises(CryosnakeError, match="another run works in this project"):
        claim_lane("particles")
    claim_lane("micrographs")
    claim = running_claim()
    assert claim is not None and claim.pid == os.getpid()
    release_claim("micrographs")
    claim = running_claim()
    assert claim is not None and claim.pid == other.pid
    assert running_claim(lanes=False) is None


def test_a_lane_that_was_killed_is_in_nobodys_way(other, locked) -> None:
    other.kill()
    other.wait()
    assert running_claim() is None
    claim_lane("particles")
    release_claim("particles")
    claim_run(insist=True)
    assert json.loads(CLAIM.read_text())["pid"] == os.getpid()
    assert locked.exists(), "a lane makes no locks, so these are of somebody else"


def test_a_lane_removes_the_lock_of_a_killed_run(locked) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as dead:
        claim_of(dead.pid)
        dead.kill()
    claim_lane("particles")
    assert not locked.exists() and running_claim(lanes=False) is None


def test_no_lane_begins_while_a_run_of_the_user_works(locked) -> None:
    claim_of(os.getppid())
    with pytest.raises(CryosnakeError, match=rf"another run works in this project \(process {os.getppid()} on"):
        claim_lane("micrographs")
    release_claim("")
    assert CLAIM.exists(), "only who made a claim takes it back"
