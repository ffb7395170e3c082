"""What a run would do, said before it: the same jobs as `snakemake -n`, why, and what they may cost."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from small_history import make_project

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.installation import snakemake_command
from cryosnake.project.actions.config_edit import change_job
from cryosnake.project.building.run_preview import preview_run
from cryosnake.project.building.starting import start_run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of_snakemake() -> set[str]:
    """Return the directories of the jobs that a dry run says it makes, pictures apart."""
    done = subprocess.run(snakemake_command(["-n"]), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^Job \d+: \w+ \((\S+)\)(?!, pictures)", done.stdout + done.stderr, re.MULTILINE))


def test_the_same_as_a_dry_run() -> None:
    make_project("classes", "good")
    change_job("start", {"symmetry": "C1"})
    found = preview_run()
    assert {job.path for job in found.jobs} == of_snakemake()
    assert {job.name: job.why for job in found.jobs} == {
        "start": "other than InitialModel/job003: symmetry D2 → C1", "refine": "made from start, to be made first",
        "mask": "made from refine, to be made first"}


def test_what_it_may_cost(capsys: pytest.CaptureFixture[str]) -> None:
    make_project("classes", "good")
    Path("InitialModel/job003/run_times.tsv").write_text("".join(
        f"2026-11-30T12:00:00\t\t{outcome}\t60\t{cpu}\t100\t1\there\n" for outcome, cpu in
        (("ok", 3600), ("failed", 99999), ("ok", 3600))))
    found = preview_run(["start"])
    assert [(job.name, job.why) for job in found.jobs] == [("start", "it has not finished")]
    assert (found.jobs[0].cost.core_hours, found.jobs[0].cost.runs, found.jobs[0].cost.per) == (2.0, 1, "run")
    assert found.files == ("InitialModel/job003/initial_model.mrc",) or "InitialModel/job003" in found.files[0]
    assert main(["preview", "start", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["core_hours"] == 2.0
    assert main(["preview"]) == 0
    assert "no earlier run of refine3d here" in capsys.readouterr().out
    with pytest.raises(CryosnakeError, match="did you mean 'good'"):
        preview_run(["god"])


def test_what_waits_is_said() -> None:
    make_project("classes", "good")
    change_job("classes", {"iterations": 6})
    assert [job.name for job in preview_run().jobs] == ["classes"]
    assert ("good", "waits for a choice of classes") in preview_run().held
    named, before = preview_run(["good"]), preview_run(["classes"])
    assert named.files == before.files != (), "who asks for what waits runs what comes before it, not everything"


def test_nothing_is_started_for_a_job_that_waits_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    make_project("classes")
    change_job("good", {"classes": "choose"})
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("all of the project would run"))
    with pytest.raises(CryosnakeError, match="good: nothing of this can run now"):
        start_run(names=["good"])


def test_nothing_is_written() -> None:
    make_project("classes")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    preview_run()
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
