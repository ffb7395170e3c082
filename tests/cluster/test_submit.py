"""The submit, status and cancel programs of an imported profile, with a scheduler of three shell scripts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from cryosnake.cluster.files import write_files
from cryosnake.cluster.generic_profile import PROGRAMS, profile_files
from cryosnake.cluster.lane import Lane
from cryosnake.cluster.submit import RECORDS, status, submit
from cryosnake.errors import CryosnakeError

JOBSCRIPT = '#!/bin/sh\n# properties = {"rule": "motion", "jobid": 3, "threads": 2, "resources": {"mem_mb": 500}}\n'


@pytest.fixture
def profile(tmp_path, monkeypatch) -> Path:
    """A profile whose scheduler keeps its queue in a file and runs nothing by itself."""
    monkeypatch.chdir(tmp_path)
    queue = tmp_path / "queue"
    lane = Lane("relion", "test", "qsub.sh", f"sh -c 'echo 41 >> {queue}; echo Submitted batch job 41' sh",
                f"grep {{id}} {queue} || true", f"sed -i /{{id}}/d {queue}")
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
