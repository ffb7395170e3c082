"""Clean-up in bulk: the acceptance tests DC-A1 to DC-A16 on their fixture, and faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cleanup_fixture import GB, job, jobs, make
from made_project import PARTICLES, add_job, tree

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import set_status
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.model import Status
from cryosnake.project.actions.history import between
from cryosnake.project.cleaning.bulk.advice import missing_parents, rank, way_back
from cryosnake.project.cleaning.bulk.facts import read_facts
from cryosnake.project.cleaning.bulk.plan import CleanupPlan, members, plan_cleanup
from cryosnake.project.cleaning.bulk.run import FOLDER, run_manifest, unfinished_manifest, write_manifest
from cryosnake.project.cleaning.clean import plan_action
from cryosnake.project.cleaning.delete import current_pipeline, plan_deletion
from cryosnake.project.cleaning.guards import ANCESTOR, FINAL, NEITHER, standings
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.records.cleaned_files import read_cleaned
from cryosnake.project.records.file_sizes import folder_size
from cryosnake.project.records.final_marks import set_final
from cryosnake.project.records.run_times import RunTime, add_run_time

KILLER = """
import os, signal, sys
from cryosnake.cli import main
from cryosnake.project.cleaning import trash
real, left = trash._move_file, [int(sys.argv[1])]
def move(start, end):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    real(start, end)
trash._move_file = move
main(["cleanup", *sys.argv[2:], "--apply"])
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Any:
    """The fixture; after every test the raw data are as they were (DC-A15)."""
    monkeypatch.chdir(tmp_path)
    make()
    raw = tree("Movies")
    yield tmp_path
    assert tree("Movies") == raw


def plan(*chosen: str, workspace: str = "") -> CleanupPlan:
    pipeline = current_pipeline()
    workspaces = yaml.safe_load(Path("config.yaml").read_text())["workspaces"]
    return plan_cleanup(pipeline, read_facts(pipeline), chosen, workspace,
                        members(pipeline, workspaces, workspace) if workspace else None)


def carry_out(planned: CleanupPlan) -> list[tuple[str, str]]:
    with cleaning_up():
        return run_manifest(write_manifest(planned))


def shown(capsys, *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["cleanup", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def statuses(*numbers: int) -> set[Status]:
    return {current_pipeline().processes[job(number)].status for number in numbers}


def test_a1_nothing_is_chosen(capsys) -> None:
    found = shown(capsys)
    assert not found["actions"]
    tab = found["non_final"]
    assert set(tab[FINAL]["names"]) == jobs(10, 16)
    assert set(tab[ANCESTOR]["names"]) == jobs(*range(1, 10))
    assert set(tab[NEITHER]["names"]) == jobs(11, 12, 13, 14, 15)


def test_a2_clear_non_final() -> None:
    before = {number: tree(job(number)) for number in (*range(1, 11), 16)}
    planned = plan("clear_non_final")
    assert set(planned.names("clear")) == jobs(11, 12, 13, 14, 15) == {action.name for action in planned.actions}
    sizes = sum(folder_size(job(number)) for number in (11, 12, 13, 14, 15))
    assert not carry_out(planned)
    now = sum(folder_size(job(number)) for number in (11, 12, 13, 14, 15))
    records = sum(os.path.getsize(f"{job(number)}.cryosnake_cleaned.tsv") for number in (11, 12, 13, 14, 15))
    assert sizes - now + records == planned.bytes  # the preview is what was done
    assert statuses(11, 12, 13, 14, 15) == {Status.SCHEDULED}
    assert {number: tree(job(number)) for number in before} == before


def test_a3_workspaces() -> None:
    assert set(plan("clear_non_final", workspace="W1").names("clear")) == jobs(11, 12, 13, 14, 15)
    assert set(plan("clear_non_final", workspace="W2").names("clear")) == jobs(12)
    with pytest.raises(CryosnakeError, match="no workspace 'W3'; add it"):
        plan(workspace="W3")


def test_a4_clear_preprocessing() -> None:
    after = {number: tree(job(number)) for number in (4, 6, 7, 8, 9, 10, 16)}
    planned = plan("motion", "ctf", "extract")
    assert set(planned.names("clear")) == jobs(2, 3, 5)
    assert (job(16), "it is marked as final; remove the mark first") in planned.skipped
    carry_out(planned)
    assert statuses(2, 3, 5) == {Status.SCHEDULED}
    assert {number: tree(job(number)) for number in after} == after
    assert missing_parents(current_pipeline(), job(6)) == sorted(jobs(2, 3, 5))  # what a clone of J6 would lack


def test_a6_restack_is_a_box_of_its_own() -> None:
    planned = plan("motion", "ctf", "extract", "restack")
    assert set(planned.names("clear")) == jobs(2, 3, 5, 8)
    before = tree(job(10))
    carry_out(planned)
    assert tree(job(10)) == before


def test_a7_clear_intermediates() -> None:
    planned = plan("intermediates")
    assert set(planned.names("intermediate")) == jobs(6, 14)
    sizes = folder_size(job(6)) + folder_size(job(14))
    carry_out(planned)
    records = sum(os.path.getsize(f"{job(number)}.cryosnake_cleaned.tsv") for number in (6, 14))
    assert sizes + records - folder_size(job(6)) - folder_size(job(14)) == planned.bytes == 20 * GB // 5 + 8 * 400
    assert sorted(path.name for path in Path(job(6)).glob("run_it*_classes.mrcs")) == ["run_it020_classes.mrcs"]
    left = sorted(path.name for path in Path(job(14)).glob("*.mrc"))
    assert left == ["run_it005_class001.mrc", "run_it009_class001.mrc"]
    assert statuses(6, 14) == {Status.SUCCEEDED}
    assert not missing_parents(current_pipeline(), job(15))


def test_a8_killed_and_failed() -> None:
    assert set(plan("clear_killed").names("clear")) == jobs(13)
    assert set(plan("clear_failed").names("clear")) == jobs(12)
    set_final(job(13))  # its ancestors are protected then, and it is
    assert not plan("clear_killed").actions


def test_a9_delete_non_final_children_first() -> None:
    planned = plan("delete_non_final")
    order = planned.names("delete")
    assert set(order) == jobs(11, 12, 13, 14, 15)
    assert order.index(job(15)) < order.index(job(14))
    carry_out(planned)
    assert not jobs(11, 12, 13, 14, 15) & set(current_pipeline().processes)
    assert not any(os.path.exists(name) for name in jobs(11, 12, 13, 14, 15))
    assert current_pipeline().counter == 17
    assert main(["undelete", "14"]) == 0
    assert main(["undelete", "15"]) == 0
    assert job(14) in current_pipeline().parents(job(15))


def test_a10_the_union_counts_each_job_once(capsys) -> None:
    found = shown(capsys, "--clear-non-final", "--preprocessing", "motion,ctf,extract", "--intermediates")
    estimate = found["estimate"]
    assert [estimate[key] for key in ("cleared", "intermediate_only", "deleted", "modified")] == [8, 1, 0, 9]
    assert [item["action"] for item in found["actions"] if item["job"] == job(14)] == ["clear"]
    assert [item["job"] for item in found["actions"] if item["action"] == "intermediate"] == [job(6)]


def test_a11_by_hand() -> None:
    pipeline = current_pipeline()
    with pytest.raises(CryosnakeError, match="marked as final"):
        plan_action(pipeline, job(10), "clear")
    with pytest.raises(CryosnakeError, match=r"Refine3D/job010/: .* marked as final.*; it depends on Extract/job005/"):
        plan_deletion(pipeline, ["5"])
    assert plan_action(pipeline, job(5), "clear").bytes >= 50 * GB


def test_a12_unmarking_recomputes_the_ancestors() -> None:
    set_final(job(10), False)
    found = standings(current_pipeline())
    assert {name for name, standing in found.items() if standing == ANCESTOR} == jobs(1, 2, 3, 4)


def test_a13_a_stale_size(capsys) -> None:
    first = shown(capsys)["sizes"]
    assert not first["stale"]
    with open("big.dat", "wb") as file:
        file.truncate(10**9)
    second = shown(capsys)["sizes"]
    assert "big.dat changed since the project was measured" in second["stale"]
    assert second["other"] == first["other"]
    main(["cleanup"])
    assert "--refresh measures it again" in capsys.readouterr().out
    third = shown(capsys, "--refresh")["sizes"]
    assert third["other"] - first["other"] == pytest.approx(10**9, abs=2000)
    assert not third["stale"]


@pytest.mark.parametrize("moves", [0, 2, 5, 13])
def test_a14_kill_9_in_the_middle(moves, capsys, tmp_path_factory) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLER, str(moves), "--clear-non-final"], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert unfinished_manifest()
    assert main(["cleanup"]) == 0
    assert "was interrupted" in capsys.readouterr().out
    assert main(["cleanup", "--apply"]) == 0
    assert unfinished_manifest() is None
    assert statuses(11, 12, 13, 14, 15) == {Status.SCHEDULED}
    for number in (11, 12, 13, 14, 15):
        assert set(read_cleaned(job(number).rstrip("/")).files) <= {
            str(path.relative_to(f"Trash/{job(number)}")) for path in Path(f"Trash/{job(number)}").rglob("*")}
        assert set(tree(job(number))) <= {"job.star", "job_pipeline.star", "note.txt"}
    for number in (11, 12, 13, 14, 15):
        assert main(["unclean", str(number)]) == 0
    assert statuses(11, 14, 15) == {Status.SUCCEEDED}
    assert (statuses(12), statuses(13)) == ({Status.FAILED}, {Status.ABORTED})


def test_a14_kill_9_in_the_middle_of_deleting() -> None:
    before = {number: tree(job(number)) for number in range(11, 16)}
    killing = KILLER.replace("trash._move_file = move", "os.rename = lambda a, b, real=os.rename: ("
                             "move(a, b) if '/job' in str(a) and not str(a).count('/') > 1 else real(a, b))"
                             ).replace("real, left = trash._move_file", "real, left = os.rename")
    killed = subprocess.run([sys.executable, "-c", killing, "2", "--delete-non-final"], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert main(["cleanup", "--apply"]) == 0
    assert not jobs(*before) & set(current_pipeline().processes)
    assert not any(os.path.exists(name) for name in jobs(*before))
    for number in (11, 12, 13, 14, 15):
        assert main(["undelete", str(number)]) == 0
    assert {number: tree(job(number)) for number in before} == before


def test_a16_chains() -> None:
    pipeline = current_pipeline()
    assert set(between(pipeline, job(2), job(6))) == jobs(2, 3, 4, 5, 6)
    assert pipeline.ancestors(job(10)) == jobs(*range(1, 10))


def test_a_parent_of_what_stays_is_cleared_and_not_deleted() -> None:
    add_job("Select", 17, {"particles.star": PARTICLES}, (job(12) + "run_it025_data.star",))
    planned = plan("delete_failed")
    assert planned.names("clear") == [job(12)]
    assert "Select/job017/ depends on it and stays" in planned.skipped[0][1]


def test_no_harsh_clean_and_user_input_and_work_are_left_alone() -> None:
    Path(job(2), "NO_HARSH_CLEAN").touch()
    Path(job(11), "NO_HARSH_CLEAN").touch()
    update_pipeline(Path(), lambda pipeline: set_status(pipeline, job(13), Status.RUNNING))
    add_job("Select", 17, {"particles.star": PARTICLES}, (job(12) + "run_it025_data.star",))
    planned = plan("clear_non_final", "motion")
    assert set(planned.names("clear")) == jobs(12, 14, 15)
    reasons = dict(planned.skipped)
    assert reasons[job(2)] == "NO_HARSH_CLEAN protects it; remove that file first"
    assert "it is running" in reasons[job(13)]
    assert "user input" in reasons["Select/job017/"]
    assert job(11) not in reasons  # protected as an ancestor is: not chosen at all


def test_a_job_that_changed_since_the_manifest_is_left_alone() -> None:
    planned = plan("clear_non_final")
    manifest = write_manifest(planned)
    set_final(job(11))
    before = tree(job(11))
    with cleaning_up():
        assert [name for name, _ in run_manifest(manifest)] == [job(11)]
    assert tree(job(11)) == before


def test_the_manifest_says_all_before_anything_moves() -> None:
    manifest = write_manifest(plan("clear_non_final"))
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert lines[0]["choices"]["clear_non_final"] is True
    for line in lines[1:]:
        assert line["files"] and line["bytes"] and len(line["parameters"]) == 64
    with open(manifest, "a") as file:
        file.write('{"done": "Refine3D/jo')  # torn by a kill
    with cleaning_up():
        run_manifest(manifest)
    assert unfinished_manifest() is None
    assert list(FOLDER.glob("*.jsonl")) == [manifest]


def test_advice_ranks_by_bytes_per_hour() -> None:
    for number, seconds in ((2, 7200.0), (5, 36.0)):
        for outcome in ("failed", "ok"):  # what a failed run took is not what it takes to make the data again
            run = RunTime(started="2026-11-26T14:05:00", batch="0001", outcome=outcome, seconds=seconds,
                          cpu_seconds=seconds, memory_mb=1.0, threads=1, host="node1")
            add_run_time(Path(job(number)), run)
    pipeline = current_pipeline()
    advice = rank(pipeline, read_facts(pipeline))
    names = [item.name for item in advice]
    assert names[0] == job(5)
    assert names.index(job(5)) < names.index(job(2))
    assert next(item for item in advice if item.name == job(2)).bytes_per_hour == pytest.approx(50 * GB)
    assert not jobs(1, 7, 10, 16) & set(names)


def test_can_i_get_it_back() -> None:
    pipeline = current_pipeline()
    assert way_back(pipeline, job(11)).startswith("yes, by RELION")
    Path(job(5), "cryosnake.json").write_text("{}")
    assert way_back(pipeline, job(5)) == "yes: computed again, equal up to rounding"
    Path(job(1), "manifest.tsv").write_text("1\tMovies/a.tiff\n1\tMovies/gone.tiff\n")
    assert way_back(pipeline, job(5)) == "no: Movies/gone.tiff no longer exists"
    carry_out(plan("extract"))
    assert way_back(current_pipeline(), job(5)) == "yes: they are in the Trash"


def test_text_and_page(capsys) -> None:
    assert main(["cleanup", "--delete-non-final", "--intermediates", "--html", "preview.html"]) == 0
    text = capsys.readouterr().out
    for title in ("Estimate", "Preprocessing", "Intermediate results", "Non-final", "Killed and failed"):
        assert f"\n{title}\n" in text
    assert "nothing was done; --apply" in text
    page = Path("preview.html").read_text()
    assert page.count("<div class=bar>") == 2
    for number in (6, 14, 15):
        assert job(number).rstrip("/") in page
    assert main(["cleanup", "--preprocessing", "moton"]) == 1
    assert "takes motion,ctf,extract,picks,restack, not moton" in capsys.readouterr().err
    assert main(["cleanup", "--advice"]) == 0
    assert "MotionCorr/job002" in capsys.readouterr().out
