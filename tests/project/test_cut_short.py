"""Deletions that were killed in the middle: the same command, or Snakemake, finishes them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from made_project import MAP, PARTICLES, add_job, facts, tree

from cryosnake.cli import main
from cryosnake.pipeline import lock
from cryosnake.pipeline.lock import LOCK_DIRECTORY, LOCK_FILE
from cryosnake.project.cleaning import trash
from cryosnake.project.cleaning.delete import current_pipeline
from cryosnake.project.cleaning.undelete import deletions
from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob
from cryosnake.project.run import begin, session


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """Particles, two classifications of them, and a refinement from one of these."""
    monkeypatch.chdir(tmp_path)
    add_job("Import", 1, {"particles.star": PARTICLES})
    add_job("Extract", 2, {"particles.star": PARTICLES}, ("Import/job001/particles.star",), alias="particles")
    add_job("Class2D", 3, {"run_it025_data.star": PARTICLES}, ("Extract/job002/particles.star",), alias="classes")
    add_job("Class3D", 4, {"run_it025_data.star": PARTICLES}, ("Extract/job002/particles.star",))
    add_job("Refine3D", 5, {"run_class001.mrc": MAP}, ("Class3D/job004/run_it025_data.star",), alias="refined")
    return tmp_path


def killed(*words: str, module: str, moves: int) -> None:
    """Run a command that dies before it has moved more than so many directories, or after it has moved them all."""
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(f"cryosnake.project.cleaning.{module}.move_tree", dies_after(moves))
        main(list(words))
        raise KeyboardInterrupt


def dies_after(moves: int) -> Callable[[str, str], None]:
    count = iter(range(100))

    def move(source: str, target: str) -> None:
        if next(count) == moves:
            raise KeyboardInterrupt
        trash.move_tree(source, target)

    return move


@pytest.mark.parametrize("moves", [0, 2, 100])
def test_repeating_the_command_finishes_it(project, capsys, moves) -> None:
    before, pipeline = tree(), facts(current_pipeline())
    killed("delete", "particles", "--yes", module="delete", moves=moves)
    assert main(["delete", "particles", "--yes"]) == 0
    assert "is in the Trash" in capsys.readouterr().out
    assert [path.name for path in Path().glob("*/job*")] == ["job001"]
    killed("undelete", "2", module="undelete", moves=moves)
    assert main(["undelete", "2"]) == 0
    assert (tree(), facts(current_pipeline())) == (before, pipeline)
    assert main(["undelete", "nobody"]) == main(["delete", "nobody", "--yes"]) == 1


def test_snakemake_finishes_it_before_it_plans(project) -> None:
    """What was deleted is not taken for a job of the project because part of it still stands there."""
    before, pipeline = tree(), facts(current_pipeline())
    killed("delete", "particles", "--yes", module="delete", moves=1)
    assert len(list(Path().glob("*/job*"))) == 4
    assert session._half_deleted() == {"Extract/job002", "Class2D/job003", "Class3D/job004", "Refine3D/job005"} & {
        str(path) for path in Path().glob("*/job*")}  # which a plan leaves out, writing nothing
    begin.finish_interrupted_deletions()
    assert [path.name for path in Path().glob("*/job*")] == ["job001"]
    assert [item.holder for item in deletions()] == ["Extract/job002/"]
    assert main(["undelete", "classes"]) == 0
    assert (tree(), facts(current_pipeline())) == (before, pipeline)


def test_a_lock_of_a_killed_program_does_not_stay_for_relion(project) -> None:
    """RELION can't tell that its owner is dead, and waits."""
    dead = multiprocessing.get_context("fork").Process(target=lambda: lock._acquire(Path(LOCK_DIRECTORY)))
    dead.start()
    dead.join()
    assert Path(LOCK_DIRECTORY).exists()
    begin.claim()
    assert not Path(LOCK_DIRECTORY).exists()


def test_what_is_left_of_a_lock_that_was_being_freed_goes(project) -> None:
    for number in (1, 2):
        aside = Path(f"{LOCK_DIRECTORY}.released.471{number}.0f0f")
        aside.mkdir()
        if number == 1:
            (aside / LOCK_FILE).write_text("program=cryosnake")
    half = Path("Class2D/job003/..cryosnake_cleaned.tsv.0f0f.tmp")
    half.write_text("half a table")
    assert main(["clean", "classes", "--clear"]) == 0
    assert not list(Path().glob(f"{LOCK_DIRECTORY}*"))
    assert not half.exists()


def test_the_next_snakemake_removes_half_a_table_of_cleaned_files(project) -> None:
    job = Path("Class2D/job003")
    half, table = job / "..cryosnake_cleaned.tsv.0f0f.tmp", job / ".cryosnake_cleaned.tsv"
    half.write_text("half a table")
    table.write_text("run_it024_data.star\t10\t1\n")
    config = SimpleNamespace(type=SimpleNamespace(folder="Class2D"))
    job_of_plan = cast(PlannedJob, SimpleNamespace(name="classes", path=str(job), config=config,
                                                   disposition=Disposition.CLEARED))
    begin.repair_after_kills(Plan({"classes": job_of_plan}))
    assert not half.exists() and table.exists()
