"""Snakemake's lock: removed after a kill, never under a living run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cryosnake.project import snakemake_lock
from cryosnake.project.snakemake_lock import CLAIM, LOCKS, claim_run, running_claim


@pytest.fixture
def locked(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    LOCKS.mkdir(parents=True)
    lock = LOCKS / "0.output.lock"
    lock.write_text("particles.star")
    return lock


def claim_of(pid: int) -> None:
    CLAIM.parent.mkdir(exist_ok=True)
    CLAIM.write_text(json.dumps({**snakemake_lock.this_process(), "pid": pid,
                                 "start": snakemake_lock.start_time(pid)}))


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
