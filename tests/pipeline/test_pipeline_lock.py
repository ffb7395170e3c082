import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from cryosnake import processes
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline import lock as lock_module
from cryosnake.pipeline.edit import add_process, set_status
from cryosnake.pipeline.files import CHANGED_FILE, PIPELINE_FILE, read_pipeline, write_pipeline
from cryosnake.pipeline.lock import LOCK_DIRECTORY, LOCK_FILE, pipeline_lock, update_pipeline
from cryosnake.pipeline.model import Pipeline, Process, Status, job_name


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_pipeline(tmp_path / PIPELINE_FILE, Pipeline(2, {"Import/job001/": Process("Import/job001/")}))
    return tmp_path


def finish(process: subprocess.Popen[str]) -> int:
    """Wait; return the exit status and show what was printed where a test fails."""
    print(*process.communicate(timeout=120))
    return process.returncode


def clean(project: Path) -> bool:
    """No lock, nothing left of one, and no half-written file."""
    return not [path.name for path in project.iterdir() if path.name.startswith(LOCK_DIRECTORY) or "tmp" in path.name]


ADD_JOBS = """
    import sys
    from cryosnake.pipeline.edit import add_process
    from cryosnake.pipeline.lock import update_pipeline
    from cryosnake.pipeline.model import Process, job_name

    project, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    for _ in range(count):
        update_pipeline(project, lambda old: add_process(old, Process(job_name(folder, old.counter))))
"""


def test_four_writers_lose_nothing(project: Path) -> None:
    folders = ["MotionCorr", "CtfFind", "AutoPick", "Extract"]
    writers = [start(ADD_JOBS, project, folder, 50) for folder in folders]
    for writer in writers:
        assert finish(writer) == 0
    pipeline = read_pipeline(project / PIPELINE_FILE)
    names = list(pipeline.processes)
    assert sorted(process.number for process in pipeline.processes.values()) == list(range(1, 202))
    assert [sum(name.startswith(folder) for name in names) for folder in folders] == [50] * 4
    assert pipeline.counter == 202
    assert clean(project)


def test_the_lock_excludes_another_process(project: Path) -> None:
    with pipeline_lock(project):
        other = start(ADD_JOBS, project, "CtfFind", 1)
        time.sleep(0.5)
        assert other.poll() is None  # it waits
        assert list(read_pipeline(project / PIPELINE_FILE).processes) == ["Import/job001/"]
    assert finish(other) == 0
    assert "CtfFind/job002/" in read_pipeline(project / PIPELINE_FILE).processes


DIE = """
    import os, signal, sys
    from cryosnake.pipeline.edit import add_process
    from cryosnake.pipeline.lock import update_pipeline
    from cryosnake.pipeline.model import Process

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    if sys.argv[2] == "between read and write":
        update_pipeline(sys.argv[1], die)
    os.replace = die  # the new text is on disk under its temporary name
    update_pipeline(sys.argv[1], lambda old: add_process(old, Process("CtfFind/job002/")))
"""


@pytest.mark.parametrize("moment", ["between read and write", "before the rename"])
def test_a_crash_leaves_a_valid_file_and_the_next_update_goes_on(project: Path, moment: str) -> None:
    assert finish(start(DIE, project, moment)) == -signal.SIGKILL
    assert (project / LOCK_DIRECTORY / LOCK_FILE).exists()
    assert list(read_pipeline(project / PIPELINE_FILE).processes) == ["Import/job001/"]
    update_pipeline(project, lambda old: set_status(old, "Import/job001/", Status.FAILED), timeout=1)
    assert read_pipeline(project / PIPELINE_FILE).processes["Import/job001/"].status == Status.FAILED
    assert clean(project)


def test_many_waiters_break_one_stale_lock_once(project: Path) -> None:
    assert finish(start(DIE, project, "between read and write")) == -signal.SIGKILL
    writers = [start(ADD_JOBS, project, "CtfFind", 10) for _ in range(4)]
    for writer in writers:
        assert finish(writer) == 0
    assert len(read_pipeline(project / PIPELINE_FILE).processes) == 41


def test_relions_lock_is_explained_and_never_broken(project: Path) -> None:
    lock = project / LOCK_DIRECTORY
    lock.mkdir()
    (lock / LOCK_FILE).write_text("lock mode: read\n")
    old = time.time() - 10_000
    os.utime(lock, (old, old))
    words = r"by RELION or another program .*made by .*, 2\.8 h ago.*rm -r .*relion_lock"
    with pytest.raises(CryosnakeError, match=words):
        update_pipeline(project, lambda pipeline: pipeline, timeout=0.3)
    assert (lock / LOCK_FILE).read_text() == "lock mode: read\n"


def test_an_empty_lock_directory_is_relions_too(project: Path) -> None:
    (project / LOCK_DIRECTORY).mkdir()
    with pytest.raises(CryosnakeError, match="by RELION or another program"):
        update_pipeline(project, lambda pipeline: pipeline, timeout=0.1)
    assert (project / LOCK_DIRECTORY).exists()


def test_the_owner_is_named(project: Path) -> None:
    with pipeline_lock(project):
        words = rf"by cryosnake \(.*process {os.getpid()} of .* on {os.uname().nodename}, since 20\d\d-.*rm -r "
        with pytest.raises(CryosnakeError, match=words):
            update_pipeline(project, lambda pipeline: pipeline, timeout=0.1)
        assert [path.name for path in (project / LOCK_DIRECTORY).iterdir()] == [LOCK_FILE]


@pytest.mark.parametrize(("change", "gone"), [
    ({}, True), ({"host": "elsewhere"}, False), ({"machine": "another"}, False), ({"namespace": "1"}, False),
    ({"boot": "before"}, True), ({"program": "relion"}, False), ({"pid": "x"}, False), ({"boot": ""}, False)])
def test_only_an_owner_that_is_provably_gone_counts_as_gone(monkeypatch: pytest.MonkeyPatch, change: dict[str, str],
                                                            gone: bool) -> None:
    here = {"host": "h", "machine": "m", "boot": "b", "namespace": "9"}
    monkeypatch.setattr(processes, "this_computer", lambda: here)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    owner = {"program": "cryosnake", "pid": str(dead.pid), "start": "1", **here, **change}
    assert lock_module._is_gone(owner) is gone


def test_a_process_number_used_again_counts_as_gone() -> None:
    own = lock_module._fields(lock_module._own_identity())
    assert not lock_module._is_gone(own)
    assert lock_module._is_gone({**own, "start": "1"})


def test_an_error_in_the_function_frees_the_lock_and_changes_nothing(project: Path) -> None:
    before = (project / PIPELINE_FILE).read_bytes()

    def fail(_: Pipeline) -> Pipeline:
        raise KeyError("wrong")

    with pytest.raises(KeyError):
        update_pipeline(project, fail)
    assert (project / PIPELINE_FILE).read_bytes() == before
    assert clean(project)


def test_no_change_writes_nothing(project: Path) -> None:
    path = project / PIPELINE_FILE
    (project / CHANGED_FILE).unlink()
    inode = path.stat().st_ino
    update_pipeline(project, lambda pipeline: pipeline)
    assert path.stat().st_ino == inode
    assert not (project / CHANGED_FILE).exists()


def test_new_project_gets_a_file(tmp_path: Path) -> None:
    update_pipeline(tmp_path, lambda pipeline: add_process(pipeline, Process(job_name("Import", 1))))
    assert read_pipeline(tmp_path / PIPELINE_FILE).counter == 2


def test_lost_file_beside_jobs_is_not_started_anew(tmp_path: Path) -> None:
    (tmp_path / "CtfFind" / "job007").mkdir(parents=True)
    with pytest.raises(CryosnakeError, match="is missing, though CtfFind/job007/ exists; `cryosnake rebuild-pipeline`"):
        update_pipeline(tmp_path, lambda pipeline: pipeline)
    assert not (tmp_path / PIPELINE_FILE).exists()
    assert clean(tmp_path)


def test_missing_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(CryosnakeError, match="no: the project cannot be locked for writing: No such file"):
        update_pipeline(tmp_path / "no", lambda pipeline: pipeline)


def test_a_lock_that_a_kill_left_without_a_file_is_freed_by_who_waits(project: Path, monkeypatch) -> None:
    monkeypatch.setattr(lock_module, "_LONGEST_UNSIGNED", 0.05)
    (project / LOCK_DIRECTORY).mkdir()
    with pipeline_lock(project, timeout=20):
        assert (project / LOCK_DIRECTORY / LOCK_FILE).exists()
    assert clean(project)


def test_a_lock_without_a_file_is_freed_by_who_needs_none(project: Path, monkeypatch) -> None:
    monkeypatch.setattr(lock_module, "_LONGEST_UNSIGNED", 0.05)
    (project / LOCK_DIRECTORY).mkdir()
    lock_module.remove_stale_locks(project)
    assert clean(project)


def test_a_lock_that_cannot_be_removed_is_waited_for_once(project: Path, monkeypatch) -> None:
    monkeypatch.setattr(lock_module, "_LONGEST_UNSIGNED", 0.05)
    (project / LOCK_DIRECTORY).mkdir()
    tried: list[Path] = []

    def forbidden(path: Path) -> None:
        tried.append(path)
        raise PermissionError

    monkeypatch.setattr(lock_module.os, "rmdir", forbidden)
    lock_module.remove_stale_locks(project)
    assert tried == [project / LOCK_DIRECTORY]


def test_a_lock_with_a_file_of_another_program_is_never_freed(project: Path, monkeypatch) -> None:
    monkeypatch.setattr(lock_module, "_LONGEST_UNSIGNED", 0.05)
    (project / LOCK_DIRECTORY).mkdir()
    (project / LOCK_DIRECTORY / LOCK_FILE).write_text("lock mainly for writing")
    lock_module.remove_stale_locks(project)
    with pytest.raises(CryosnakeError, match="does not write its name"), pipeline_lock(project, timeout=0.5):
        pass
    assert (project / LOCK_DIRECTORY / LOCK_FILE).exists()
