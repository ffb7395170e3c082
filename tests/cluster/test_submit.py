"""The submit, status and cancel programs of an imported profile, with a scheduler of three shell scripts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from cryosnake.cluster.files import write_files
from cryosnake.cluster.generic_profile import PROGRAMS, profile_files
from cryosnake.cluster.lane import ClusterLane
from cryosnake.cluster.submit import RECORDS, status, submit
from cryosnake.errors import CryosnakeError

JOBSCRIPT = '#!/bin/sh\n# properties = {"rule": "motion", "jobid": 3, "threads": 2, "resources": {"mem_mb": 500}}\n'


@pytest.fixture
def profile(tmp_path, monkeypatch) -> Path:
    """A profile whose scheduler keeps its queue in a file and runs nothing by itself."""
    monkeypatch.chdir(tmp_path)
    queue = tmp_path / "queue"
    lane = ClusterLane(kind="relion", name="test", template="qsub.sh",
                submit=f"sh -c 'echo 41 >> {queue}; echo Submitted batch job 41' sh",
                status=f"grep {{id}} {queue} || true", cancel=f"sed -i /{{id}}/d {queue}")
    write_files(tmp_path / "profile", profile_files(lane, "#!/bin/bash\nXXXcommandXXX\n", tmp_path / "profile"),
                lambda path: False, PROGRAMS)
    return tmp_path / "profile"


def job(body: str) -> Path:
    path = Path("job.sh")
    path.write_text(JOBSCRIPT + body)
    return path


def run_job() -> int:
    script, = (path for path in RECORDS.glob("*.sh") if not path.name.endswith((".job.sh", ".run.sh")))
    return subprocess.run(["bash", script]).returncode


@pytest.mark.parametrize(("body", "code", "verdict"), [("exit 0\n", 0, "success"), ("exit 3\n", 3, "failed")])
def test_a_job_runs_and_leaves_its_exit_code(profile, body: str, code: int, verdict: str) -> None:
    assert submit(profile, job(body)) == "41"
    assert status(profile, "41") == "running"
    assert run_job() == code
    assert status(profile, "41") == verdict


def test_a_job_that_leaves_the_queue_without_a_word_has_failed(profile) -> None:
    submit(profile, job("true\n"))
    assert subprocess.run([profile / "cancel", "41"]).returncode == 0
    assert status(profile, "41") == "running"  # its exit file may be on its way
    assert status(profile, "41", grace=0.0) == "failed"
    assert "left the queue without an exit code" in (RECORDS / "41.reason").read_text()


def test_a_refused_job_is_told(profile) -> None:
    lane = json.loads((profile / "lane.json").read_text())
    (profile / "lane.json").write_text(json.dumps(lane | {"submit": "echo no such queue >&2; false"}))
    with pytest.raises(CryosnakeError, match=r"the scheduler refused motion .*: no such queue"):
        submit(profile, job(""))
    answer = subprocess.run([profile / "submit", "job.sh"], capture_output=True, text=True)
    assert answer.returncode == 1 and "no such queue" in answer.stderr


def test_a_scheduler_that_does_not_answer_is_believed_to_have_the_job(profile) -> None:
    submit(profile, job(""))
    lane = json.loads((profile / "lane.json").read_text())
    (profile / "lane.json").write_text(json.dumps(lane | {"status": "echo can not connect >&2; false"}))
    assert status(profile, "41", grace=0.0) == "running"
    (profile / "lane.json").write_text(json.dumps(lane | {"status": "echo Invalid job id specified >&2; false"}))
    assert status(profile, "41", grace=0.0) == "failed"


PBS = """\
Job id              Name             Username        Time Use S Queue
------------------- ---------------- --------------- -------- - ---------------
41.server           motion           me              00:00:01 {state} batch
"""
SGE = """\
job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID
-----------------------------------------------------------------------------------------------------------------
     40 0.55500 unknown    other        r     11/26/2026 18:24:41 all.q@node41                      41
{line}"""
OWN = "     41 0.50000 motion     me           {state}    11/26/2026 18:24:02                                    1\n"


@pytest.mark.parametrize(("listing", "verdict"), [
    (PBS.format(state="R"), "running"), (PBS.format(state="Q"), "running"), (PBS.format(state="C"), "failed"),
    (PBS.format(state="F"), "failed"), (SGE.format(line=""), "failed"), (SGE.format(line=OWN.format(state="qw ")),
                                                                         "running"),
    (SGE.format(line=OWN.format(state="Eqw")), "failed"), ("41 RUN\n", "running"), ("41 EXIT\n", "failed"),
    ("Job Id: 41.server\n    job_state = R\n", "running"), ("", "failed")])
def test_what_schedulers_list_is_understood(profile, listing, verdict) -> None:
    submit(profile, job(""))
    Path("listing").write_text(listing)
    lane = json.loads((profile / "lane.json").read_text())
    (profile / "lane.json").write_text(json.dumps(lane | {"status": "cat listing"}))
    assert status(profile, "41", grace=0.0) == verdict


def test_a_job_runs_in_the_project_wherever_its_scheduler_begins(profile, tmp_path_factory) -> None:
    submit(profile, job("touch here\n"))
    script, = (path.absolute() for path in RECORDS.glob("*.run.sh"))
    assert subprocess.run(["bash", script], cwd=tmp_path_factory.mktemp("home")).returncode == 0
    assert Path("here").exists()
