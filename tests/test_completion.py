"""Completion of commands, options and jobs, by real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cryosnake.cli import TOPICS, main
from cryosnake.cli.completion.jobs import job_names

_ASK = {
    "bash": 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cryosnake; printf "%s\\n" "${COMPREPLY[@]}"',
    "zsh": 'compadd() { shift; printf "%s\\n" "$@"; }; _files() { :; }; words=("$@"); CURRENT=$#; _cryosnake'}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two jobs, an alias, and names that a shell would run."""
    monkeypatch.chdir(tmp_path)
    for job in ("Class2D/job007", "Select/job008", ".hidden/job001", "Trash/job002"):
        Path(job).mkdir(parents=True)
    Path("Class2D/classes").symlink_to("job007")
    Path("Movies").mkdir()
    Path("Movies/a.tiff").symlink_to("/nowhere")
    Path("config.yaml").write_text("jobs:\n  classes: {type: class2d}\n  \"$(touch hurt)\": {}\n  good:  # by eye\n"
                                   "    type: select\n  \"two words\": {}\n")
    return tmp_path


@pytest.fixture(params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, here: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A shell for which the script is in `script`."""
    name = str(request.param)
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    assert main(["completion", name]) == 0
    Path("script").write_text(capsys.readouterr().out)
    Path("bin").mkdir()
    Path("bin/cryosnake").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cryosnake.cli "$@"\n')
    Path("bin/cryosnake").chmod(0o755)
    return name


def offered(shell: str, *words: str) -> list[str]:
    """Return what is offered for the last word of a line; for zsh, which filters itself, what begins with it."""
    stub = "compdef() { :; }; " if shell == "zsh" else ""
    path = f"{Path('bin').resolve()}:{os.environ['PATH']}"
    done = subprocess.run([shell, "-c", f"{stub}source ./script; {_ASK[shell]}", shell, *words], text=True, check=True,
                          capture_output=True, env=os.environ | {"PATH": path})
    assert done.stderr == ""
    return sorted(word for word in done.stdout.split("\n") if word and word.startswith(words[-1]))


def test_commands_options_and_jobs(shell: str) -> None:
    assert offered(shell, "cryosnake", "") == sorted([*(name for names in TOPICS.values() for name in names),
                                                      "simulate"])
    assert offered(shell, "cryosnake", "ch") == ["chain", "choose"]
    assert offered(shell, "cryosnake", "--v") == ["--version"]
    assert offered(shell, "cryosnake", "choose", "--c") == ["--classes"]
    assert offered(shell, "cryosnake", "choose", "g") == ["good"]
    assert offered(shell, "cryosnake", "choose", "good", "--from", "Se") == ["Select/job008"]
    assert offered(shell, "cryosnake", "chain", "good", "--to", "Class2D/") == ["Class2D/classes", "Class2D/job007"]
    assert offered(shell, "cryosnake", "choose", "good", "--classes", "") == []  # numbers of classes
    assert offered(shell, "cryosnake", "delete", "good", "Class2D/job007", "--d") == ["--dry-run"]
    assert offered(shell, "cryosnake", "mark", "good", "f") == ["failed", "final", "finished"]
    assert offered(shell, "cryosnake", "set", "g") == ["good"]
    assert offered(shell, "cryosnake", "completion", "z") == ["zsh"]
    assert offered(shell, "cryosnake", "show", "$") == offered(shell, "cryosnake", "show", "nothing") == []
    assert not Path("hurt").exists()


def test_bash_completes_files_where_nothing_else_fits(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = f"{capsys.readouterr().out}\ncomplete -p cryosnake"
    done = subprocess.run(["bash", "-c", script], text=True, check=True, capture_output=True)
    assert done.stdout == "complete -o default -F _cryosnake cryosnake\n"


def test_names_of_jobs(here: Path) -> None:
    assert job_names() == ["Class2D/classes", "Class2D/job007", "Select/job008", "classes", "good"]
    for broken in ("jobs: [", "jobs: 7", "", "\0"):
        Path("config.yaml").write_text(broken)
        assert job_names("S") == ["Select/job008"]
    Path("config.yaml").unlink()
    assert job_names("c") == []


def test_it_costs_next_to_nothing(here: Path) -> None:
    code = ("import sys, time; before = time.process_time(); from cryosnake.cli import main; "
            "main(['completion', 'jobs', 'g']); print(time.process_time() - before); "
            "print([name for name in ('numpy', 'pandas', 'rich', 'snakemake') if name in sys.modules])")
    spent = []
    for _ in range(3):
        name, seconds, heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                                              check=True).stdout.splitlines()
        assert (name, heavy) == ("good", "[]")
        spent.append(float(seconds))
    assert min(spent) < 0.1
