"""Lanes of cryoSPARC and submission scripts of RELION become profiles; what can't be used is refused with a remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cryosnake.cli import main
from cryosnake.cluster.importing import read_lane_files
from cryosnake.cluster.lane import read_lane, without_mpi_launcher
from cryosnake.cluster.submit import fill, job_values, read_properties
from cryosnake.errors import CryosnakeError

INFO = {"name": "slurm lane", "worker_bin_path": "/opt/cryosparc/bin/worker", "send_cmd_tpl": "{{ command }}",
        "qsub_cmd_tpl": "sbatch {{ script_path_abs }}", "qstat_cmd_tpl": "squeue -j {{ cluster_job_id }}",
        "qdel_cmd_tpl": "scancel {{ cluster_job_id }}", "qinfo_cmd_tpl": "sinfo"}
SCRIPT = """\
#!/usr/bin/env bash
#SBATCH --job-name={{ project_uid }}_{{ job_uid }}
#SBATCH -n {{ num_cpu }}
{%- if num_gpu > 0 %}
#SBATCH --gres=gpu:{{ num_gpu }}
{%- endif %}
#SBATCH --mem={{ (ram_gb*1000)|int }}M
#SBATCH -o {{ job_log_path_abs }}
#SBATCH -p {{ partition }}
srun {{ run_cmd }}
"""
QSUB = """\
#!/bin/bash
#SBATCH --ntasks=XXXmpinodesXXX
#SBATCH --cpus-per-task=XXXthreadsXXX
#SBATCH --partition=XXXqueueXXX
#SBATCH --error=XXXerrfileXXX
#SBATCH --output=XXXoutfileXXX
#SBATCH --mem=XXXextra1XXX --time=XXXruntimeXXX
tools=(a b); echo ${#tools[@]}
mpiexec -mca orte_forward_job_control 1 -n XXXmpinodesXXX XXXcommandXXX
"""
PROPERTIES = {"rule": "refine", "jobid": 7, "threads": 8,
              "resources": {"mem_mb": 16000, "runtime": 720, "tasks": 2, "gres": "gpu:2"}}


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster_info.json").write_text(json.dumps(INFO))
    (tmp_path / "cluster_script.sh").write_text(SCRIPT)
    (tmp_path / "qsub.sh").write_text(QSUB)
    return tmp_path


def test_a_lane_of_cryosparc_fills_its_script(lab) -> None:
    lane, template = read_lane_files([Path("cluster_info.json")], {"partition": "gpu"}, {})
    text = fill(lane, template, job_values(lane, PROPERTIES, lab, "refine.7"))
    assert f"#SBATCH --job-name={lab.name}_refine.7\n#SBATCH -n 8\n#SBATCH --gres=gpu:2\n#SBATCH --mem=16000M" in text
    assert "#SBATCH -p gpu" in text
    assert text.splitlines()[-1] == f"bash {lab}/refine.7.run.sh"  # once, not by srun: the job starts its ranks
    assert lane.launcher == "srun"
    without = fill(lane, template, job_values(lane, PROPERTIES | {"resources": {"mem_mb": 500}}, lab, "motion.1"))
    assert "gres" not in without and "--mem=500M" in without


def test_a_script_of_relion_fills_in(lab) -> None:
    lane, template = read_lane_files([Path("qsub.sh")], {"queue": "em", "extra1": "20G", "dedicated": "4"}, {})
    assert (lane.submit, lane.cancel) == ("sbatch", "scancel {id}")
    assert lane.launcher == "mpiexec -mca orte_forward_job_control 1"
    values = job_values(lane, PROPERTIES, lab, "refine.7")
    text = fill(lane, template, values)
    assert "--ntasks=2\n#SBATCH --cpus-per-task=4\n#SBATCH --partition=em" in text and "--mem=20G --time=720" in text
    assert "${#tools[@]}" in text and f"\nbash {lab}/refine.7.run.sh\n" in text
    assert values["nodes"] == 2 and "XXX" not in text


@pytest.mark.parametrize(("line", "expected", "launcher"), [
    ("srun --mem-per-cpu=4G XXXcommandXXX", "XXXcommandXXX", "srun --mem-per-cpu=4G"),
    ("module load relion; mpirun -np XXXmpinodesXXX --bind-to none XXXcommandXXX > log",
     "module load relion; XXXcommandXXX > log", "mpirun --bind-to none"),
    ("/opt/mpi/bin/mpiexec.hydra -n 4 XXXcommandXXX", "XXXcommandXXX", "/opt/mpi/bin/mpiexec.hydra"),
    ("XXXcommandXXX", "XXXcommandXXX", ""),
    ("echo mpirun; XXXcommandXXX", "echo mpirun; XXXcommandXXX", ""),
])
def test_the_mpi_launcher_is_taken_out(line: str, expected: str, launcher: str) -> None:
    assert without_mpi_launcher(line, "XXXcommandXXX") == (expected, launcher)


@pytest.mark.parametrize(("change", "message"), [
    (lambda lab: (lab / "cluster_script.sh").write_text("#SBATCH -n 1\n"), r"has no \{\{ run_cmd \}\}"),
    (lambda lab: (lab / "cluster_script.sh").write_text("{{ run_cmd \n"), r"cluster_script\.sh, line 1: .*expected"),
    (lambda lab: (lab / "cluster_info.json").write_text("{"), r"is not a cluster_info\.json"),
    (lambda lab: (lab / "cluster_info.json").write_text("{}"), r"has no qsub_cmd_tpl"),
    (lambda lab: (lab / "cluster_script.sh").unlink(), r"cluster_script\.sh: is missing"),
    (lambda lab: None, r"variables partition are the lab's own; give their values: --set partition=…"),
])
def test_a_bad_lane_is_refused(lab, change, message: str) -> None:
    change(lab)
    with pytest.raises(CryosnakeError, match=message):
        read_lane_files([Path("cluster_info.json")], {}, {})


def test_a_bad_script_of_relion_is_refused(lab) -> None:
    with pytest.raises(CryosnakeError, match=r"no value for XXXextra1XXX, XXXqueueXXX.*--set extra1=… --set queue=…"):
        read_lane_files([Path("qsub.sh")], {}, {})
    (lab / "qsub.sh").write_text("XXXcommandXXX\n")
    with pytest.raises(CryosnakeError, match=r"no directives of a known scheduler.*--submit 'sbatch' --status"):
        read_lane_files([Path("qsub.sh")], {}, {})
    (lab / "qsub.sh").write_text("echo\n")
    with pytest.raises(CryosnakeError, match="has no XXXcommandXXX"):
        read_lane_files([Path("qsub.sh")], {}, {})
    with pytest.raises(CryosnakeError, match="there is no such file"):
        read_lane_files([Path("nothing.sh")], {}, {})


def test_import_writes_a_whole_profile(lab, capsys) -> None:
    assert main(["profile", "import", "cluster_info.json", "cluster_script.sh", "--set", "partition=gpu", "--out",
                 "lane"]) == 0
    assert "`srun` was removed from the script" in capsys.readouterr().out
    profile = yaml.safe_load((lab / "lane/profile.yaml").read_text())
    assert profile["executor"] == "cluster-generic"
    assert profile["cluster-generic-cancel-cmd"] == str(lab / "lane/cancel")
    for name in ("submit", "status", "cancel"):
        assert (lab / "lane" / name).stat().st_mode & 0o111
    assert read_lane(lab / "lane").variables["partition"] == "gpu"
    (lab / "lane/lane.json").write_text("{}")
    assert main(["profile", "import", "qsub.sh", "--out", "lane", "--set", "queue=a", "--set", "extra1=1"]) == 1


def test_properties_come_from_snakemakes_script() -> None:
    assert read_properties(f"#!/bin/sh\n# properties = {json.dumps(PROPERTIES)}\ntrue\n") == PROPERTIES
