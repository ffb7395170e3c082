"""RELION's protocol of External jobs: success, failure, abort, and what a config may declare."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.jobs.external import JOB
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.programs.simulate.particles import StackSettings
from cryosnake.programs.simulate.project import simulate_particles
from cryosnake.project.config.config import ConfigError, parse_config
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.run.commit import commit
from cryosnake.running import external
from cryosnake.running.run import run_job

OUT = Path("External/job001")
PROGRAM = "#!/bin/sh\n"  # $2 is the job directory: --o comes first


@pytest.fixture
def project(tmp_path, monkeypatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    Path("particles.star").write_text("data_particles\n\nloop_\n_rlnImageName #1\na\nb\n")
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


def program(text: str) -> str:
    Path("program.sh").write_text(PROGRAM + text)
    Path("program.sh").chmod(0o755)
    return "./program.sh"


def run(text: str, *words: str, outputs: str = "particles=good.star") -> int:
    return run_job(JOB, ["--out", str(OUT), "--executable", program(text), "--outputs", outputs, *words])


def test_it_is_called_as_relion_calls_it(project) -> None:
    assert run('printf "%s|" "$@" > words; touch "$2good.star"; touch "$2RELION_JOB_EXIT_SUCCESS"', "--particles",
               "particles.star", "--parameters", "threshold=-0.5", "flag=", "--threads", "1") == 0
    assert Path("words").read_text() == (
        "--o|External/job001/|--in_parts|particles.star|--threshold|-0.5|--flag|--j|1|")
    assert exit_of(OUT) == Status.SUCCEEDED


def test_a_program_that_knows_nothing_of_relion_is_judged_by_its_exit_code_and_its_files(project) -> None:
    assert run('echo working; touch "$2good.star"') == 0
    assert "working" in (OUT / "run.out").read_text()
    assert run("echo no disk >&2; exit 3") == 1
    assert exit_of(OUT) == Status.FAILED
    errors = (OUT / "run.err").read_text()
    assert "no disk" in errors and "exited with code 3 (no disk);" in errors  # the reason is the last line


@pytest.mark.parametrize(("text", "message"), [
    ("exit 3", "exited with code 3"),
    ('touch "$2RELION_JOB_EXIT_FAILURE"', "wrote RELION_JOB_EXIT_FAILURE"),
    ("true", "did not make good.star; correct `outputs:`"),
])
def test_failures_are_told(project, capsys, text, message) -> None:
    assert run(text) == 1
    assert message in capsys.readouterr().err
    assert exit_of(OUT) == Status.FAILED


def test_a_program_that_is_not_there_is_refused(project, capsys) -> None:
    assert run_job(JOB, ["--out", str(OUT), "--executable", "no_such_picker", "--outputs", "particles=a.star"]) == 1
    assert "'no_such_picker' does not exist or can't be executed" in capsys.readouterr().err


def request_abort(after: Path) -> threading.Thread:
    def ask() -> None:
        while not after.exists():
            time.sleep(0.02)
        (OUT / "RELION_JOB_ABORT_NOW").touch()

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_a_program_may_obey_an_abort_by_itself(project) -> None:
    thread = request_abort(Path("started"))
    assert run('touch started; while [ ! -e "$2RELION_JOB_ABORT_NOW" ]; do sleep 0.1; done; '
               'rm "$2RELION_JOB_ABORT_NOW"; touch tidied "$2RELION_JOB_EXIT_ABORTED"; exit 2') == 2
    thread.join()
    assert Path("tidied").exists()
    assert exit_of(OUT) == Status.ABORTED


def test_a_program_that_knows_no_abort_is_terminated_with_all_that_it_started(project, monkeypatch) -> None:
    monkeypatch.setattr(external, "GRACE", 0.2)
    thread = request_abort(Path("child"))
    assert run("sleep 300 & echo $! > child.tmp; mv child.tmp child; wait") == 2
    thread.join()
    assert exit_of(OUT) == Status.ABORTED
    child = int(Path("child").read_text())
    for _ in range(100):
        if not alive(child):
            return
        time.sleep(0.05)
    raise AssertionError("the program's child lives on")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def raw(**job: object) -> dict[str, object]:
    return {"jobs": {"theirs": {"type": "external", "executable": "./program.sh", "particles": "particles.star", **job},
                     "classes": {"type": "class2d", "particles": "theirs", "particle_diameter": 100}}}


def test_a_job_is_chained_to_outputs_that_are_only_declared(project) -> None:
    plan = make_plan(parse_config(raw(outputs={"particles": "good.star", "rest": "bad.star:particles"})))
    commit(plan)
    pipeline = read_pipeline("default_pipeline.star")
    assert pipeline.processes["External/job001/"].status == Status.SCHEDULED
    assert pipeline.outputs["External/job001/"] == ("External/job001/good.star", "External/job001/bad.star")
    assert pipeline.inputs["Class2D/job002/"] == ("External/job001/good.star",)
    assert {pipeline.nodes[name].type_id for name in pipeline.outputs["External/job001/"]} == {3}
    more = make_plan(parse_config(raw(outputs={"particles": "good.star", "third": "3.star:particles"})))
    assert more.jobs["theirs"].path == "External/job001"  # declaring something else is not another job
    other = make_plan(parse_config(raw(outputs={"particles": "good.star"}, parameters={"k": 3})))
    assert other.jobs["theirs"].path == "External/job003"


@pytest.mark.parametrize(("job", "message"), [
    ({}, "external needs outputs"),
    ({"outputs": {"picks": "a.star"}}, "there is no node type 'picks'; write picks: FILE:TYPE"),
    ({"outputs": {"particles": "../a.star"}}, "must be a file in the job's directory"),
    ({"outputs": ["a.star"]}, "must be a mapping"),
    ({"outputs": {"map": "a.mrc"}}, "theirs \\(external\\) offers theirs.map \\(map\\)"),
    ({"outputs": {"particles": "a.star"}, "parameters": {f"p{n}": n for n in range(11)}}, "have 10 entries, not 11"),
])
def test_wrong_declarations_are_refused(project, job, message) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(raw(**job))


@pytest.mark.relion
@pytest.mark.slow
def test_the_example_with_relion_refine(project, relion, root) -> None:
    simulate_particles(Path(), StackSettings(count=40, box=24, pixel_size=7.0, snr=0.2, symmetry="C1", seed=1))
    script = root / "examples/external_relion_refine/relion_refine.py"
    parameters = {"iter": 1, "K": 2, "particle_diameter": 140, "ini_high": 40, "healpix_order": 0, "offset_range": 2,
                  "offset_step": 2, "tau2_fudge": 4}
    code = run_job(JOB, ["--out", str(OUT), "--executable", str(script), "--particles", "particles.star", "--map",
                         "reference.mrc", "--outputs", "particles=particles.star", "map=map.mrc", "--parameters",
                         *(f"{name}={value}" for name, value in parameters.items())])
    assert code == 0, (OUT / "run.err").read_text()
    assert len(read_star(OUT / "particles.star")["particles"]) == 40
    assert read_mrc(OUT / "map.mrc")[0].shape == (24, 24, 24)
    nodes = read_star(OUT / "RELION_OUTPUT_NODES.star")["output_nodes"]
    assert f"{OUT}/optimiser.star" in set(nodes["rlnPipeLineNodeName"])


def test_the_examples_tell_their_options(root) -> None:
    for path in (root / "examples").glob("external_*/*.py"):
        assert os.access(path, os.X_OK)
        assert "usage" in subprocess.run([path, "--help"], capture_output=True, text=True, check=True).stdout
