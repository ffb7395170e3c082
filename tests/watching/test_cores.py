"""How the cores that the user gave are read and divided."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryosnake.watching.cores import given_cores, shared_cores


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)


@pytest.mark.parametrize("words", [["--cores", "6"], ["--cores=6"], ["-c6"], ["-c", "6"], ["-j6"], ["--jobs", "6"],
                                   ["-j", "9", "--cores", "6"], ["--verbose", "-c", "6", "--quiet"]])
def test_stated_cores(words) -> None:
    assert given_cores(words) == 6


@pytest.mark.parametrize("words", [[], ["--cores", "all"], ["--cores"], ["-c", "--quiet"]])
def test_all_cores(words) -> None:
    assert given_cores(words) == len(os.sched_getaffinity(0))


def test_profiles() -> None:
    for name, text in (("slurm", "executor: slurm\njobs: 100"), ("local", "cores: 5"), ("odd", "[")):
        Path(name).mkdir()
        Path(name, "profile.yaml").write_text(text)
    assert given_cores(["--profile", "slurm"]) is None
    assert given_cores(["--profile", "slurm", "--executor", "local", "--cores", "3"]) == 3
    assert given_cores(["--profile=local"]) == 5
    assert given_cores(["--profile", "local", "-c2"]) == 2
    assert given_cores(["--profile", "odd", "-c2"]) == 2
    assert given_cores(["--profile", "nowhere", "-c2"]) == 2
    assert given_cores(["-e", "slurm"]) is None


@pytest.mark.parametrize(("total", "kept", "expected"), [(16, 4, (4, 12)), (2, 0, (1, 1)), (1, 0, (1, 1)),
                                                        (4, 9, (3, 1)), (3, 1, (1, 2))])
def test_together_they_take_what_there_is(total, kept, expected) -> None:
    assert shared_cores(total, kept) == expected
    assert sum(expected) == total or total == 1
