"""Imported profiles against real sbatch: a lane of cryoSPARC by its programs, a script of RELION through Snakemake."""

from __future__ import annotations

import json
import subprocess
import sys
import time
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


@pytest.fixture
def lane(slurm, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("cluster_info.json").write_text(json.dumps(INFO))
    Path("cluster_script.sh").write_text(LANE)
    assert main(["profile", "import", "cluster_info.json", "--out", "lane"]) == 0
    return tmp_path / "lane"


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


@pytest.mark.workflow
@pytest.mark.slow
def test_a_script_of_relion_takes_a_project_through(slurm, tmp_path, monkeypatch) -> None:
    pytest.importorskip("snakemake_executor_plugin_cluster_generic", reason="the extra `cluster` is not installed")
    monkeypatch.chdir(tmp_path)
    Path("qsub.sh").write_text(QSUB)
    assert main(["profile", "import", "qsub.sh", "--out", "lane", "--set", "queue=cpu"]) == 0
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
