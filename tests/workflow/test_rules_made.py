"""Rules as Snakemake has them: their conda environments, which are not made, and those of types from other packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml

from cryosnake.io.mrc import write_mrc
from cryosnake.project.run import session
from small_project import ROOT, command

pytestmark = pytest.mark.workflow

ASK = """
import json, sys
from pathlib import Path
from snakemake.api import OutputSettings, ResourceSettings, SnakemakeApi

with SnakemakeApi(OutputSettings(dryrun=True)) as api:
    resources = ResourceSettings(cores=8, resources={"gpu": int(sys.argv[2])})
    workflow = api.workflow(resource_settings=resources, snakefile=Path(sys.argv[1]), workdir=Path.cwd())
    dag = workflow.dag()
    dag.execute_workflow(executor="dryrun")
    jobs = [job for job in dag.workflow_api._workflow.dag.jobs if job.output]
    print("FOUND", json.dumps({job.rule.name: str(job.conda_env_spec.file.path) for job in jobs}))
"""


def environments(project: Path, gpus: int) -> dict[str, str]:
    """Return the name of each rule's environment on a computer with this many GPUs."""
    asked = subprocess.run([sys.executable, "-c", ASK, ROOT / "Snakefile", str(gpus)], cwd=project,
                           capture_output=True, text=True)
    found = [line for line in asked.stdout.splitlines() if line.startswith("FOUND ")]
    assert found, asked.stdout + asked.stderr
    paths = {rule: Path(path) for rule, path in json.loads(found[0].removeprefix("FOUND ")).items()}
    assert {path.resolve().parent for path in paths.values()} == {ROOT / "envs"}
    return {rule: path.stem for rule, path in paths.items()}


def test_device_and_ranks_choose_the_environment(tmp_path: Path) -> None:
    (tmp_path / "particles.star").write_text("data_particles\n")
    write_mrc(tmp_path / "reference.mrc", np.ones((8, 8, 8), np.float32), 1.0)
    jobs = {}
    for number, (device, ranks) in enumerate(product(("cpu", "gpu", "auto"), (1, 3))):
        jobs[f"{device}_{ranks}"] = {"type": "refine3d", "particles": "particles.star", "reference": "reference.mrc",
                                     "particle_diameter": 100 + number, "device": device, "mpi_ranks": ranks}
    jobs |= {"mask": {"type": "maskcreate", "map": "cpu_1.map", "device": "gpu"},
             "sharpened": {"type": "postprocess", "half_maps": "cpu_1.half_maps", "mask": "mask"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"jobs": jobs}, sort_keys=False))
    always = {"cpu_1": "cpu", "cpu_3": "mpi", "gpu_1": "gpu", "gpu_3": "gpu", "mask": "gpu", "sharpened": "cpu"}
    always |= {f"{name}_pictures": "cpu" for name in jobs}
    assert environments(tmp_path, gpus=1) == always | {"auto_1": "gpu", "auto_3": "gpu"}
    assert environments(tmp_path, gpus=0) == always | {"auto_1": "cpu", "auto_3": "mpi"}


def test_an_installed_package_shows_an_environment_itself_alone(tmp_path: Path, monkeypatch) -> None:
    """What is installed beside it was built for another Python, and would be found before the environment's own."""
    site = tmp_path / "site-packages"
    shutil.copytree(ROOT / "workflow" / "cryosnake" / "project", site / "cryosnake" / "project")
    (site / "cryosnake" / "workflow").mkdir()
    (site / "numpy.py").touch()
    monkeypatch.setattr(session, "PACKAGE", site / "cryosnake")
    monkeypatch.setattr(session, "workflow_folder", lambda: site / "cryosnake" / "workflow")
    monkeypatch.setattr(session.snakemake_internals, "has_environments", lambda workflow: True)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    program = f"{sys.executable} -S -c 'import cryosnake.project; print(cryosnake.project.__file__); import numpy'"
    for _ in range(2):  # the link may be there
        done = subprocess.run(["bash", "-c", session.environment(None) + program], capture_output=True, text=True)
        assert done.stdout.startswith(str(tmp_path / session.LINKED / "cryosnake")), done.stderr
        assert "No module named 'numpy'" in done.stderr


PLUG_IN = """
from dataclasses import replace
from cryosnake.jobs import maskcreate
from cryosnake.jobs.picking import autopick

PICKER = replace(autopick.JOB, name="mypicker", topic="other")
MASK = replace(maskcreate.JOB, name="mymask", topic="other", panels=())
"""


def test_types_of_other_packages_have_rules_without_a_script(tmp_path: Path) -> None:
    package, project = tmp_path / "package", tmp_path / "project"
    (package / "mypackage-1.dist-info").mkdir(parents=True)
    (package / "mypackage.py").write_text(PLUG_IN)
    (package / "mypackage-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: mypackage\nVersion: 1\n")
    (package / "mypackage-1.dist-info/entry_points.txt").write_text(
        "[cryosnake.jobs]\nmypicker = mypackage:PICKER\nmymask = mypackage:MASK\n")
    (project / "Movies").mkdir(parents=True)
    write_mrc(project / "Movies/a.mrc", np.zeros((128, 128), np.float32), 1.0)
    os.utime(project / "Movies/a.mrc", (time.time() - 60,) * 2)
    write_mrc(project / "map.mrc", np.ones((8, 8, 8), np.float32), 1.0)
    (project / "config.yaml").write_text(yaml.safe_dump({
        "microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0},
        "jobs": {"mics": {"type": "import", "micrographs": "Movies/*.mrc"},
                 "picks": {"type": "mypicker", "micrographs": "mics", "diameter": [90, 100]},
                 "mask": {"type": "mymask", "map": "map.mrc"}}}, sort_keys=False))
    paths = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command(project, "--dry-run", "--printshellcmds"), capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": paths})
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for job, words in (("picks (AutoPick/job002), batch 0001", "mypicker --out AutoPick/job002 --batch 0001"),
                       ("picks (AutoPick/job002), all batches", "mypicker --join --out AutoPick/job002"),
                       ("picks (AutoPick/job002), pictures", "mypicker --draw --out AutoPick/job002"),
                       ("mask (MaskCreate/job003)", "mymask --out MaskCreate/job003 --map map.mrc")):
        assert job in said and f"python -m cryosnake.running {words}" in said, said
    assert "mask (MaskCreate/job003), pictures" not in said
