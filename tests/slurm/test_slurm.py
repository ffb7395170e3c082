"""The demo chain through a real SLURM: partitions, a GPU, MPI by srun, a job over its memory, a cancelled one.

One project and two runs of Snakemake, for each SLURM job costs three starts of it. In the first run MotionCorr asks
for too little memory, config.yaml becomes unreadable while the jobs run, and the refinement is cancelled; the second
completes the project.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from cryosnake.cli import main
from cryosnake.io.mrc import read_mrc
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status
from cryosnake.programs.simulate.project import simulate_project

pytestmark = [pytest.mark.slurm, pytest.mark.workflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = """
title: through SLURM
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 3.54, dose_per_frame: 6.0,
             gain: gain.mrc}
batch_size: 4
jobs:
  movies:    {type: import, movies: "Movies/*.tiff", settling_time: 0}
  motion:    {type: motioncorr, movies: movies, patches: [1, 1]}
  ctf:       {type: ctffind, micrographs: motion, resmax: 8, box: 256, max_resolution: 30, min_figure_of_merit: -1,
              device: cpu}
  picks:     {type: autopick, micrographs: ctf, method: log, diameter: [140, 180], device: cpu}
  particles: {type: extract, micrographs: ctf, coordinates: picks, box_size: 64, rescale: 32, device: cpu}
  refine:    {type: refine3d, particles: particles, reference: reference.mrc, symmetry: D2, initial_lowpass: 50,
              particle_diameter: 160, sampling: 15 degrees, max_iterations: 3, mpi_ranks: 2, device: cpu}
  mask:      {type: maskcreate, map: refine.map, low_pass: 30, device: cpu}
  sharpened: {type: postprocess, half_maps: refine.half_maps, mask: mask, auto_b_factor: false, b_factor: -100}
"""
POLLING = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1")
ONE_NODE = ("--set-threads", "refine=2")  # one for each rank: the node has two cores
TOO_LITTLE = ("--set-resources", "motion:mem_mb=120*attempt**4")  # MB: 120, then 1920


@dataclass(frozen=True)
class Finished:
    """A project that went through SLURM, what Snakemake said in its two runs, and what SLURM says of the jobs."""

    folder: Path
    first: str
    second: str
    after_first: dict[str, Status]
    error_log: str
    jobs: list[dict[str, str]]


@pytest.fixture(scope="module")
def project(slurm, tmp_path_factory) -> Finished:
    base = tmp_path_factory.mktemp("slurm")
    folder = base / "project"
    simulate_project(folder, movies=4, size=(384, 384), frames=4, pixel_size=3.54, particles_per_movie=15,
                     dose_per_frame=6.0, box=32, box_pixel_size=7.08, contaminated=0.0)
    (folder / "config.yaml").write_text(CONFIG)
    profile = base / "profile"
    assert main(["profile", "init", str(profile), "--yes", "--cpu-partition", "cpu", "--gpu-partition", "gpu"]) == 0
    first = cancelled_run(folder, profile)
    after_first, error_log = statuses(folder), (folder / "Refine3D/refine/run.err").read_text()
    second = subprocess.run(command(folder, profile), capture_output=True, text=True, timeout=1200)
    assert second.returncode == 0, second.stdout[-4000:] + second.stderr[-4000:]
    return Finished(folder, first, second.stdout + second.stderr, after_first, error_log, jobs_of_slurm())


def command(folder: Path, profile: Path, *extra: str) -> list[str]:
    return [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"), "--directory",
            str(folder), "--profile", str(profile), *POLLING, *ONE_NODE, *extra]


def cancelled_run(folder: Path, profile: Path) -> str:
    """Run the project, break its config when it has begun, and cancel the refinement when it works."""
    log = folder / "first.log"
    with open(log, "w") as file:
        run = subprocess.Popen(command(folder, profile, *TOO_LITTLE), stdout=file, stderr=file)
        try:
            wait_for(run, log, lambda: "has been submitted" in log.read_text())
            (folder / "config.yaml").write_text("jobs: {refine: [")
            wait_for(run, log, (folder / "Refine3D/refine/run.out").exists)
            number = re.findall(r"SLURM jobid (\d+) \(log: \S*rule_refine/", log.read_text())[-1]
            subprocess.run(["scancel", number], check=True)
            assert run.wait(600) != 0
        finally:
            if run.poll() is None:
                subprocess.run(["scancel", "--user", "root", "--partition", "cpu,gpu"])
                run.kill()
                run.wait()
            (folder / "config.yaml").write_text(CONFIG)
    return log.read_text()


def wait_for(run, log: Path, condition) -> None:
    deadline = time.monotonic() + 1200
    while not condition():
        assert run.poll() is None and time.monotonic() < deadline, log.read_text()[-6000:]
        time.sleep(0.2)


def statuses(folder: Path) -> dict[str, Status]:
    return {process.short_alias: process.status
            for process in read_pipeline(folder / "default_pipeline.star").processes.values()}


def jobs_of_slurm() -> list[dict[str, str]]:
    text = subprocess.run(["scontrol", "show", "job", "--oneliner"], capture_output=True, text=True, check=True).stdout
    return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in text.splitlines()]


def jobs_of(project: Finished, rule: str) -> list[dict[str, str]]:
    return [job for job in project.jobs if job.get("WorkDir") == str(project.folder)
            and job.get("Comment", "").startswith(f"rule_{rule}")]


def test_the_chain_ends_in_a_sharpened_map(project) -> None:
    assert set(statuses(project.folder).values()) == {Status.SUCCEEDED}
    sharpened, pixel_size = read_mrc(project.folder / "PostProcess/sharpened/postprocess_masked.mrc")
    assert sharpened.shape == (32, 32, 32) and sharpened.std() > 0 and pixel_size == pytest.approx(7.08)


def test_a_job_over_its_memory_is_told_and_succeeds_on_its_retry(project) -> None:
    assert re.search(r"MotionCorr/job002: cluster job \d+ was ended: out of memory: .*memory 120M", project.first)
    assert [job["JobState"] for job in jobs_of(project, "motion")] == ["FAILED", "COMPLETED"]
    assert project.after_first["motion"] == Status.SUCCEEDED


def test_a_cancelled_job_is_told_recorded_and_completed_by_the_next_run(project) -> None:
    reason = "was ended: cancelled (scancel), by a user or an administrator"
    assert reason in project.first and reason in project.error_log
    assert project.after_first["refine"] == Status.FAILED
    assert (project.folder / "Refine3D/refine/RELION_JOB_EXIT_SUCCESS").exists()
    assert [job["JobState"] for job in jobs_of(project, "refine")] == ["CANCELLED", "COMPLETED"]  # no retry: cancelled
    assert "motion (" not in project.second  # nothing that was finished ran again


def test_the_jobs_took_the_plan_that_the_run_began_with(project) -> None:
    plans = [json.loads(path.read_text())["jobs"] for path in (project.folder / ".cryosnake/plans").glob("*.json")]
    assert [job["config"]["name"] for job in plans[0]] == ["movies", "motion", "ctf", "picks", "particles", "refine",
                                                           "mask", "sharpened"]
    assert "WorkflowError" not in project.first.partition("Error in rule refine")[0]  # config.yaml was unreadable


def test_partitions_and_resources_are_those_of_the_jobs(project) -> None:
    motion, ctf, refine = (jobs_of(project, name)[-1] for name in ("motion", "ctf", "refine"))
    assert (motion["Partition"], ctf["Partition"], refine["Partition"]) == ("gpu", "cpu", "cpu")
    assert "gpu:1" in motion.get("TresPerJob", "") and "gpu" not in ctf.get("TresPerJob", "")
    assert (refine["NumTasks"], refine["CPUs/Task"]) == ("2", "1")  # a program that is started alone refuses two ranks
