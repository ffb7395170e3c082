"""External jobs through a real SLURM, in one run: a picker whose picks are extracted, one that fails, one aborted.

The jobs are independent, so that `--keep-going` brings each to its own end.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cryosnake.cli import main
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import read_star
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.markers import ABORT_REQUEST
from cryosnake.pipeline.model import Status

pytestmark = [pytest.mark.slurm, pytest.mark.workflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = """
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 2.0}
jobs:
  mics:   {type: import, micrographs: "Micrographs/*.mrc", settling_time: 0}
  endless: {type: external, micrographs: mics, executable: sh endless.sh, outputs: {particles: never.star}}
  picks:  {type: external, micrographs: mics, executable: ./topaz_picker.py, outputs: {coordinates: topaz.star},
           parameters: {topaz: ./stand_in_topaz.py, scale: 8, radius: 2, threshold: 2}}
  broken: {type: external, micrographs: mics, executable: sh broken.sh, outputs: {particles: none.star}}
  cut:    {type: extract, micrographs: mics, coordinates: picks, box_size: 24, invert: false, device: cpu}
"""
ENDLESS, PICKS, BROKEN, CUT = "External/job002", "External/job003", "External/job004", "Extract/job005"
BROKEN_PROGRAM = "echo working on $4\necho 'no licence for this picker: ask the facility' >&2\nexit 3\n"
ENDLESS_PROGRAM = "echo $$ > ${2}pid\nexec sleep 1000\n"  # knows nothing of RELION's protocol
CENTRES = ((30, 40), (90, 36), (60, 100))  # x, y
POLLING = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1")


@dataclass(frozen=True)
class Ended:
    """The project after its run, what Snakemake said, and what SLURM says of the jobs by their rules."""

    folder: Path
    said: str
    slurm: dict[str, dict[str, str]]

    def status(self, job: str) -> Status:
        return read_pipeline(self.folder / "default_pipeline.star").processes[f"{job}/"].status


@pytest.fixture(scope="module")
def project(slurm, tmp_path_factory) -> Ended:
    base = tmp_path_factory.mktemp("external")
    folder, profile, log = base / "project", base / "profile", base / "run.log"
    make_project(folder)
    assert main(["profile", "init", str(profile), "--yes", "--cpu-partition", "cpu", "--gpu-partition", "gpu"]) == 0
    words = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"), "--directory",
             str(folder), "--profile", str(profile), *POLLING, "--keep-going", "--retries", "0",
             "--set-threads", "picks=2"]
    with open(log, "w") as file:
        run = subprocess.Popen(words, stdout=file, stderr=file)
        try:
            wait_for(run, log, (folder / ENDLESS / "pid").exists)
            (folder / ENDLESS / ABORT_REQUEST).touch()
            assert run.wait(900) != 0
        finally:
            if run.poll() is None:
                subprocess.run(["scancel", "--user", "root", "--partition", "cpu,gpu"])
                run.kill()
                run.wait()
    return Ended(folder, log.read_text(), jobs_of_slurm(folder))


def make_project(folder: Path) -> None:
    (folder / "Micrographs").mkdir(parents=True)
    random = np.random.default_rng(1)
    y, x = np.mgrid[:128, :128]
    image = random.normal(0, 1, (128, 128)) + sum(4 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 50) for a, b in CENTRES)
    write_mrc(folder / "Micrographs/mic.mrc", image.astype(np.float32), 2.0)
    os.utime(folder / "Micrographs/mic.mrc", (time.time() - 60,) * 2)
    for name in ("topaz_picker.py", "stand_in_topaz.py"):
        shutil.copy(ROOT / "examples/external_picker" / name, folder)
    (folder / "broken.sh").write_text(BROKEN_PROGRAM)
    (folder / "endless.sh").write_text(ENDLESS_PROGRAM)
    (folder / "config.yaml").write_text(CONFIG)


def wait_for(run: subprocess.Popen[bytes], log: Path, condition) -> None:
    deadline = time.monotonic() + 900
    while not condition():
        assert run.poll() is None and time.monotonic() < deadline, log.read_text()[-6000:]
        time.sleep(0.2)


def jobs_of_slurm(folder: Path) -> dict[str, dict[str, str]]:
    text = subprocess.run(["scontrol", "show", "job", "--oneliner"], capture_output=True, text=True, check=True).stdout
    jobs = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in text.splitlines()]
    return {job["Comment"].removeprefix("rule_").partition("_wildcards")[0]: job for job in jobs
            if job.get("WorkDir") == str(folder)}


def test_the_picker_had_its_threads_and_its_picks_were_extracted(project) -> None:
    assert (project.status(PICKS), project.status(CUT)) == (Status.SUCCEEDED, Status.SUCCEEDED)
    picks = read_star(project.folder / PICKS / "Micrographs/mic_topaz.star")[""]
    distances = np.linalg.norm(picks[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()[:, None] - CENTRES, axis=2)
    assert len(picks) == len(CENTRES) and distances.min(axis=0).max() < 8
    assert len(read_star(project.folder / CUT / "particles.star")["particles"]) == len(CENTRES)
    assert " --j 2" in (project.folder / PICKS / "run.out").read_text()
    assert project.slurm["picks"]["NumCPUs"] == "2" and project.slurm["picks"]["JobState"] == "COMPLETED"


def test_what_a_failed_program_said_reaches_the_user(project) -> None:
    assert project.status(BROKEN) == Status.FAILED
    assert (project.folder / BROKEN / "RELION_JOB_EXIT_FAILURE").exists()
    reason = r"exited with code 3 \(no licence for this picker: ask the facility\)"
    assert re.search(rf"{BROKEN}: cluster job \d+ failed: .*{reason}", project.said), project.said[-4000:]
    assert "working on" in (project.folder / BROKEN / "run.out").read_text()
    assert project.slurm["broken"]["JobState"] == "FAILED"


def test_one_that_was_asked_to_stop_is_gone_and_recorded_as_aborted(project) -> None:
    assert project.status(ENDLESS) == Status.ABORTED
    assert re.search(rf"{ENDLESS}: cluster job \d+ failed: aborted on request", project.said), project.said[-4000:]
    assert not (project.folder / ENDLESS / ABORT_REQUEST).exists()
    assert (project.folder / ENDLESS / "RELION_JOB_EXIT_ABORTED").exists()
    with pytest.raises(ProcessLookupError):  # the program itself
        os.kill(int((project.folder / ENDLESS / "pid").read_text()), 0)
    assert project.slurm["endless"]["JobState"] == "FAILED"  # and it was submitted once only
