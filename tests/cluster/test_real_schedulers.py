"""Imported profiles against real schedulers: lanes by their programs, scripts of RELION through Snakemake.

SLURM, PBS (SLURM's own qsub, qstat and qdel) and Grid Engine; each is left out where it is not installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cryosnake.cli import main
from cryosnake.cluster.submit import RECORDS, cancel, status, submit
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).resolve().parent.parent.parent
INFO = {"name": "here", "worker_bin_path": "", "send_cmd_tpl": "{{ command }}",
        "qsub_cmd_tpl": "sbatch {{ script_path_abs }}", "qstat_cmd_tpl": "squeue -j {{ cluster_job_id }}",
        "qdel_cmd_tpl": "scancel {{ cluster_job_id }}"}
LANE = """\
#!/usr/bin/env bash
#SBATCH --job-name={{ project_uid }}_{{ job_uid }}
#SBATCH -n {{ num_cpu }}
{%- if num_gpu > 0 %}
#SBATCH --gres=gpu:{{ num_gpu }}
{%- endif %}
#SBATCH --mem={{ (ram_gb*1000)|int }}M
#SBATCH -o {{ job_log_path_abs }}
{{ run_cmd }}
"""
QSUB = """\
#!/bin/bash
#SBATCH --ntasks=XXXmpinodesXXX
#SBATCH --cpus-per-task=XXXthreadsXXX
#SBATCH --partition=XXXqueueXXX
#SBATCH --job-name=XXXnameXXX
#SBATCH --output=XXXoutfileXXX
#SBATCH --error=XXXerrfileXXX
srun -n XXXmpinodesXXX XXXcommandXXX
"""
PBS = """\
#!/bin/bash
#PBS -N XXXnameXXX
#PBS -q XXXqueueXXX
#PBS -l nodes=XXXnodesXXX:ppn=XXXcoresXXX,walltime=00:XXXruntimeXXX:00,mem=XXXmem_mbXXXmb
#PBS -o XXXoutfileXXX
#PBS -e XXXerrfileXXX
mpiexec -n XXXmpinodesXXX XXXcommandXXX
"""
SGE = """\
#!/bin/bash
#$ -N XXXnameXXX
#$ -q XXXqueueXXX
#$ -pe smp XXXcoresXXX
#$ -l h_rt=00:XXXruntimeXXX:00
#$ -o XXXoutfileXXX
#$ -e XXXerrfileXXX
#$ -V
mpiexec -n XXXmpinodesXXX XXXcommandXXX
"""


@pytest.fixture
def lane(slurm, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("cluster_info.json").write_text(json.dumps(INFO))
    Path("cluster_script.sh").write_text(LANE)
    assert main(["profile", "import", "cluster_info.json", "--out", "lane"]) == 0
    return tmp_path / "lane"


@pytest.fixture
def torque(slurm) -> None:
    """The qsub, qstat and qdel of PBS in front of SLURM."""
    program = shutil.which("qsub")
    if program is None or "Slurm" not in Path(program).read_text(errors="replace"):
        pytest.skip("qsub of slurm-wlm-torque is not on the PATH (Debian: apt-get install slurm-wlm-torque)")


@pytest.fixture(scope="module")
def grid_engine() -> Iterator[dict[str, str]]:
    """The environment of a Grid Engine on this machine, started here if it does not run yet."""
    if not Path("/usr/lib/gridengine/sge_qmaster").exists():
        pytest.skip("no Grid Engine (Debian: apt-get install gridengine-{master,exec,client})")
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("Grid Engine is started for one process of pytest: -n0")
    script = ROOT / "tests/sge/cluster.sh"
    started = subprocess.run([script, "start"], capture_output=True, text=True)
    if started.returncode:
        pytest.skip(f"Grid Engine does not start here: {started.stderr.strip()}")
    told = subprocess.run(f'eval "$({script} env)"; env -0', shell=True, executable="/bin/bash", check=True,
                          capture_output=True, text=True).stdout
    yield dict(line.partition("=")[::2] for line in told.split("\0") if line)
    if "runs" not in started.stdout:
        subprocess.run([script, "stop"], check=True, capture_output=True)


@pytest.fixture
def sge(grid_engine, monkeypatch) -> None:
    """Its qsub, qstat and qdel are those on the PATH."""
    for name in ("PATH", "LD_LIBRARY_PATH", "SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT"):
        monkeypatch.setenv(name, grid_engine[name])


def imported(script: str, queue: str) -> Path:
    """Return the profile of a submission script of RELION, in the working directory."""
    Path("qsub.sh").write_text(script)
    assert main(["profile", "import", "qsub.sh", "--out", "lane", "--set", f"queue={queue}"]) == 0
    return Path("lane").absolute()


def job(body: str) -> Path:
    properties = {"rule": "motion", "jobid": 3, "threads": 1, "resources": {"mem_mb": 300, "gpu": 1}}
    path = Path("job.sh")
    path.write_text(f"#!/bin/sh\n# properties = {json.dumps(properties)}\n{body}\n")
    return path


def ended(lane: Path, number: str, grace: float = 30.0) -> str:
    for _ in range(600):
        state = status(lane, number, grace)
        if state != "running":
            return state
        time.sleep(0.2)
    raise AssertionError("the job did not end")


def test_a_cryosparc_lane_submits_asks_and_cancels(lane) -> None:
    first = submit(lane, job("echo GPU $CUDA_VISIBLE_DEVICES"))
    assert ended(lane, first) == "success"
    assert "GPU 0" in next(RECORDS.glob("motion.*.log")).read_text()
    second = submit(lane, job("sleep 100"))
    assert status(lane, second) == "running"
    cancel(lane, [second])
    assert ended(lane, second, grace=1.0) == "failed"
    assert "left the queue without an exit code" in (RECORDS / f"{second}.reason").read_text()


def test_a_job_over_its_memory_is_recognised(lane) -> None:
    number = submit(lane, job(f"{sys.executable} -c 'import time; x = bytearray(600 << 20); time.sleep(30)'"))
    assert ended(lane, number, grace=1.0) == "failed"
    reason = RECORDS / f"{number}.reason"
    log = next(RECORDS.glob("motion.*.log")).read_text()
    assert "memory limit" in log and (not reason.exists() or reason.read_text().startswith("out of memory"))


@pytest.mark.parametrize(("scheduler", "script", "queue"), [("torque", PBS, "cpu"), ("sge", SGE, "all.q")])
def test_a_script_of_relion_submits_asks_and_cancels(scheduler, script, queue, request, tmp_path, monkeypatch) -> None:
    request.getfixturevalue(scheduler)
    monkeypatch.chdir(tmp_path)
    lane = imported(script, queue)
    first = submit(lane, job("touch here"))
    assert ended(lane, first) == "success"
    assert Path("here").exists()  # in the project: these schedulers begin in the user's home directory
    second = submit(lane, job("sleep 100"))
    assert status(lane, second) == "running"
    cancel(lane, [second])
    assert ended(lane, second, grace=1.0) == "failed"  # PBS goes on to list it, as C


def test_a_job_that_grid_engine_cannot_start_has_failed(sge, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    lane = imported(SGE.replace("-V", "-V -wd /nowhere"), "all.q")
    number = submit(lane, job("true"))
    assert ended(lane, number, grace=1.0) == "failed"
    assert "Eqw" in subprocess.run(["qstat"], capture_output=True, text=True).stdout  # it would wait for ever
    cancel(lane, [number])


@pytest.mark.workflow
@pytest.mark.slow
@pytest.mark.parametrize(("scheduler", "script", "queue"), [("slurm", QSUB, "cpu"), ("torque", PBS, "cpu"),
                                                            ("sge", SGE, "all.q")])
def test_a_script_of_relion_takes_a_project_through(scheduler, script, queue, request, tmp_path, monkeypatch) -> None:
    request.getfixturevalue(scheduler)
    pytest.importorskip("snakemake_executor_plugin_cluster_generic", reason="the extra `cluster` is not installed")
    monkeypatch.chdir(tmp_path)
    imported(script, queue)
    grid = np.mgrid[:32, :32, :32] - 16
    write_mrc(Path("map.mrc"), (np.sqrt((grid**2).sum(0)) < 8).astype(np.float32), 4.0)
    Path("config.yaml").write_text("jobs:\n  mask: {type: maskcreate, map: ./map.mrc, low_pass: 0, device: cpu}\n")
    result = subprocess.run([str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"),
                             "--profile", "lane", "--seconds-between-status-checks", "1"], capture_output=True,
                            text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "with external jobid" in result.stdout + result.stderr
    assert read_mrc(tmp_path / "MaskCreate/job001/mask.mrc")[0].max() == pytest.approx(1.0)
    assert read_pipeline(tmp_path / "default_pipeline.star").processes["MaskCreate/job001/"].status == Status.SUCCEEDED
