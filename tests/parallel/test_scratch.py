"""The scratch directory: what is copied and removed, what crashed jobs left, and that others' files are let be."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.parallel import scratch
from cryosnake.parallel.owners import FILE, claim, is_abandoned
from cryosnake.parallel.ranks import SingleComputer
from cryosnake.parallel.scratch import remove_leftovers, scratch_copy
from cryosnake.processes import this_process

SHAPE = (30, 8, 8)
IMAGES = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)


class Source:
    """Images in memory that note which rows were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, rows):
        self.asked += rows.tolist()
        return IMAGES[rows]


def folder_of(path, **changed):
    """Make a folder as a job of this program leaves it, with another owner than this process."""
    folder = path / scratch.VOLATILE / f"{scratch._PREFIX}{len(list(path.glob('*/*')))}"
    folder.mkdir(parents=True)
    (folder / "particles.dat").write_bytes(b"0" * 100)
    (folder / FILE).write_text(json.dumps(asdict(replace(this_process(), **changed))))
    return folder


def test_everything_is_copied_once_and_removed(tmp_path) -> None:
    source = Source()
    with scratch_copy(source, SHAPE, tmp_path, 0, SingleComputer(), "Refine3D/job001") as images:
        assert source.asked == list(range(30))
        rows = np.array([3, 4, 5, 29, 0])
        np.testing.assert_array_equal(images(rows), IMAGES[rows])
        assert source.asked == list(range(30))
        (own,) = (tmp_path / "relion_volatile").iterdir()
        assert json.loads((own / FILE).read_text())["job"] == "Refine3D/job001"
    assert not list((tmp_path / "relion_volatile").iterdir())


def test_what_does_not_fit_is_read_where_it_lies(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(scratch.os, "statvfs", lambda path: SimpleNamespace(f_bavail=5000 + 12 * 256, f_frsize=1))
    source = Source()
    with scratch_copy(source, SHAPE, tmp_path, 5000, SingleComputer(), "") as images:
        assert source.asked == list(range(12))
        for rows in (np.array([11, 12]), np.array([2, 1]), np.array([20])):
            np.testing.assert_array_equal(images(rows), IMAGES[rows])
        assert source.asked[12:] == [12, 20]
    assert "12 of 30 images copied" in capsys.readouterr().out


def test_nothing_is_copied_to_a_full_disk(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(scratch.os, "statvfs", lambda path: SimpleNamespace(f_bavail=10, f_frsize=1))
    with scratch_copy(Source(), SHAPE, tmp_path, 5000, SingleComputer(), "") as images:
        np.testing.assert_array_equal(images(np.arange(3)), IMAGES[:3])


def test_space_that_others_took_meanwhile_is_not_counted_on(tmp_path, monkeypatch) -> None:
    free = [10_000, 2560]
    monkeypatch.setattr(scratch.os, "statvfs", lambda path: SimpleNamespace(f_bavail=free[0], f_frsize=1))

    def full(number, offset, size):
        if size > 2560:
            free.pop(0)
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(scratch.os, "posix_fallocate", full)
    source = Source()
    with scratch_copy(source, SHAPE, tmp_path, 0, SingleComputer(), ""):
        assert source.asked == list(range(10))


def test_a_failure_while_copying_leaves_nothing(tmp_path) -> None:
    def fail(rows):
        raise CryosnakeError("particles.mrcs is cut off")

    with pytest.raises(CryosnakeError, match="cut off"), scratch_copy(fail, SHAPE, tmp_path, 0, SingleComputer(), ""):
        pass
    assert not list((tmp_path / "relion_volatile").iterdir())


def test_a_missing_scratch_directory_is_named(tmp_path) -> None:
    with pytest.raises(CryosnakeError, match=r"scratch_dir .*none.*can't be used"), scratch_copy(
            Source(), SHAPE, tmp_path / "none", 0, SingleComputer(), ""):
        pass


def test_leftovers_of_the_dead_are_removed_and_nothing_else(tmp_path) -> None:
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    dead = [folder_of(tmp_path, pid=int(child.stdout)), folder_of(tmp_path, start="1"),
            folder_of(tmp_path, boot="another boot")]
    living = [folder_of(tmp_path), folder_of(tmp_path, host="other-node", pid=1 << 30),
              folder_of(tmp_path, namespace="1", pid=1 << 30)]
    relion = tmp_path / "relion_volatile" / "opticsgroup1_particles.mrcs"
    relion.write_bytes(b"RELION's")
    unknown = tmp_path / "relion_volatile" / "cryosnake_unclaimed"
    unknown.mkdir()
    assert sorted(remove_leftovers(tmp_path)) == sorted(dead)
    assert all(folder.exists() for folder in (*living, relion, unknown))


def test_a_lock_that_is_held_says_that_its_owner_lives(tmp_path) -> None:
    folder = folder_of(tmp_path, boot="another boot")
    with claim(folder, ""):
        (folder / FILE).write_text(json.dumps(asdict(replace(this_process(), boot="another boot"))))
        assert not is_abandoned(folder)
    assert is_abandoned(folder)


def test_images_can_be_read_when_the_scratch_directory_is_emptied(tmp_path) -> None:
    with scratch_copy(Source(), SHAPE, tmp_path, 0, SingleComputer(), "") as images:
        shutil.rmtree(tmp_path / "relion_volatile")  # as RELION does when it starts
        np.testing.assert_array_equal(images(np.arange(30)), IMAGES)


def test_a_killed_job_is_cleaned_up_by_the_next(tmp_path) -> None:
    code = (f"import os, numpy as np; from pathlib import Path; from cryosnake.parallel.ranks import SingleComputer\n"
            f"from cryosnake.parallel.scratch import scratch_copy\n"
            f"ones = lambda rows: np.ones((len(rows), 8, 8), np.float32)\n"
            f"with scratch_copy(ones, (30, 8, 8), Path({str(tmp_path)!r}), 0, SingleComputer(), ''):\n"
            f"    os.kill(os.getpid(), 9)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == -9
    assert len(list((tmp_path / "relion_volatile").iterdir())) == 1
    with scratch_copy(Source(), SHAPE, tmp_path, 0, SingleComputer(), ""):
        assert len(list((tmp_path / "relion_volatile").iterdir())) == 1
    assert not list((tmp_path / "relion_volatile").iterdir())
