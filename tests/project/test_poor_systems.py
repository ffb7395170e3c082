"""Systems that lack letters in a terminal, permission to write, symbolic links, a home, or space on the disk."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path

import pytest
from made_project import MAP, PARTICLES, add_job, tree

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.jobs.registry import job_types
from cryosnake.pipeline import markers
from cryosnake.project.cleaning.delete import current_pipeline
from cryosnake.project.config.config import parse_config
from cryosnake.project.locks.job_status import last_reason, write_reason
from cryosnake.running.logs import copied_to_logs
from cryosnake.running.run import run_job

REFINE, POST = "Refine3D/job001", "PostProcess/job002"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    add_job("Refine3D", 1, {"map.mrc": MAP, "run_data.star": PARTICLES}, ("ref.mrc",), alias="8Å",
            files={"run_it001_optimiser.star": 3})
    add_job("PostProcess", 2, {"map.mrc": MAP}, (f"{REFINE}/map.mrc",), files={"a.log": 1})
    Path(REFINE, "note.txt").write_text("8.9 Å, µ, 全\n", encoding="utf-8")
    Path(REFINE, "run.out").write_text("resolution 8.9 Å\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("words", [["show", "1"], ["note", "1"], ["list"], ["delete", "1", "--yes"], ["show", "Ω"]])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_a_letter_gets_its_escape(monkeypatch, words: list[str], encoding: str) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    assert main(words) == (words[-1] == "Ω")
    screen.flush()
    said = screen.buffer.getvalue()  # type: ignore[attr-defined]
    assert b"\\u03a9" in said if words[-1] == "Ω" else (b"\\xc5" if encoding == "ascii" else b"\xc5") in said


def test_logs_of_jobs_are_utf_8_everywhere(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace"))
    with copied_to_logs(Path(POST)):
        print("8.9 Å \udce9")
    write_reason(Path(POST), "at 8.9 Å \udce9")
    assert Path(POST, "run.out").read_bytes().decode().endswith("8.9 Å \\udce9\n")
    assert last_reason(Path(POST)) == "at 8.9 Å \\udce9"


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), ".inf", "inf", "nan"])
@pytest.mark.parametrize("where", ["pixel_size", "voltage", "grow"])
def test_numbers_are_finite(value: object, where: str) -> None:
    microscope = {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0}
    raw: dict = {"microscope": microscope, "jobs": {"movies": {"type": "import", "movies": "a"}}}
    (raw if where == "grow" else microscope)[where] = value  # type: ignore[assignment]
    with pytest.raises(CryosnakeError, match=rf"{where}: must be a (finite )?number"):
        parse_config(raw)


def refuse_writing(monkeypatch) -> None:
    """Refuse it as a file system that is mounted read-only does; permissions do not stop root."""
    def refuse(name: str, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(name))

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(os, "mkdir", refuse)
    monkeypatch.setattr(os, "access", lambda *_: False)


@pytest.mark.parametrize("words", [["cleanup", "--clear-non-final"], ["cleanup", "--advice"], ["show", "1"], ["status"],
                                   ["list"], ["clean", "1", "--harsh", "-n"], ["delete", "1", "-n"], ["undelete"],
                                   ["empty-trash"], ["chain", "2", "--ancestors"], ["flowchart", "--out", "elsewhere"]])
def test_what_only_reads_needs_no_permission_to_write(project, tmp_path_factory, monkeypatch, words: list[str]) -> None:
    if words[-1] == "elsewhere":
        words = [*words[:-1], str(tmp_path_factory.mktemp("home") / "chart.dot")]
        monkeypatch.setattr(os, "access", lambda *_: True)
    else:
        refuse_writing(monkeypatch)
    before = tree(project)
    assert main(words) == 0
    assert tree(project) == before


@pytest.mark.parametrize(("words", "said"), [
    (["flowchart"], "can't be written to; name a file in a folder that can"),
    (["delete", "2"], "the project can't be written (Read-only file system)"),
    (["run"], "can't be written to: a run writes its results there"),
])
def test_what_writes_says_where_it_may_not(project, monkeypatch, capsys, words: list[str], said: str) -> None:
    Path("config.yaml").touch()
    refuse_writing(monkeypatch)
    assert main(words) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_symbolic_links_aliases_are_in_the_pipeline_file(project, monkeypatch, capsys, number: int) -> None:
    def refuse(name: object, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(name))

    monkeypatch.setattr(os, "symlink", refuse)
    markers._say_no_links.cache_clear()
    assert main(["alias", "2", "sharp"]) == 0
    assert capsys.readouterr().err.count("this file system has no symbolic links") == 1
    assert current_pipeline().processes[f"{POST}/"].alias == "PostProcess/sharp/"
    assert main(["delete", "2"]) == 0 and main(["undelete", "2"]) == 0
    assert current_pipeline().processes[f"{POST}/"].alias == "PostProcess/sharp/"


@pytest.mark.parametrize(("protected", "code", "said"), [
    ((REFINE, POST), 1, "nothing was cleaned"), ((POST,), 0, "now in the Trash"), ((), 0, "now in the Trash"),
])
def test_a_clean_up_that_is_refused_everywhere_is_no_success(capsys, protected, code: int, said: str) -> None:
    for job in protected:
        assert main(["mark", job, "final"]) == 0
    assert main(["clean", "--all", "--clear"]) == code
    assert said in "".join(capsys.readouterr())


@pytest.mark.parametrize("home", ["unknown", "gone"])
def test_a_home_that_is_not_there_is_named(monkeypatch, capsys, home: str) -> None:
    Path("config.yaml").touch()
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda name: name if home == "unknown" else "/nowhere/.cache")
    monkeypatch.setattr(os, "access", lambda place, *_: str(place) in (".", "~"))
    assert main(["run"]) == 1
    assert "export XDG_CACHE_HOME=/scratch/$USER/cache" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["cryosnake.running.frame.set_exit", "cryosnake.running.frame.add_run_time",
                                   "cryosnake.running.frame.append_note"])
def test_a_full_disk_that_takes_no_record_of_the_failure_ends_with_a_message(monkeypatch, capsys, where: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run_it001_data.star")

    monkeypatch.setattr(where, full)
    words = ["--out", "MaskCreate/job003", "--map", f"{REFINE}/map.mrc"]
    assert run_job(job_types()["maskcreate"], words) == 1
    assert "No space left on device" in capsys.readouterr().err
