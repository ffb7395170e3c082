"""Values that the Snakemake rules look up: inputs, outputs, arguments and resources of a planned job."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from contextlib import chdir
from typing import Any

from cryosnake.project.config.config import DECISIONS, is_made
from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob
from cryosnake.project.records.batches import batch_number, batch_star
from cryosnake.project.records.cleaned_files import is_wanted


def targets(plan: Plan) -> list[str]:
    """Return every file that the config requests: results and pictures of all jobs that do not wait for more data."""
    with chdir(plan.folder or "."):
        return [file for job in plan.jobs.values() for file in asked(plan, job) + pictures(plan, job)]


def rule_name(name: str, suffix: str = "") -> str:
    """Return the name of a job as an identifier, different from the rules of the Snakefile and of a project's own."""
    name = re.sub(r"\W", "_", name) + suffix
    return f"{name}_" if name in ("all", "default") or name[0].isdigit() else name


def asked(plan: Plan, job: PlannedJob) -> list[str]:
    """Return the files that are requested from a job."""
    match job.disposition:
        case Disposition.OTHER_LANE | Disposition.HELD:
            return []
        case Disposition.BATCHES_ONLY:
            return batch_stars(plan, job.path)
        case Disposition.CLEARED:
            files = list(filter(os.path.exists, job.files()))
        case Disposition.INPUTS_CLEARED | Disposition.BELOW_GROWTH | Disposition.ALL:
            files = job.files()
    if all(map(os.path.exists, files)):  # Snakemake does not ask for a batch if everything made from it exists
        files += [star for star in batch_stars(plan, job.path) if not os.path.exists(star)]
    return files + (data_again(job) if is_wanted(job.path) else [])


def pictures(plan: Plan, job: PlannedJob) -> list[str]:
    """Return the pictures of a job's results; none where the results are not all there, and will not be made."""
    complete = (Disposition.ALL, Disposition.BELOW_GROWTH, Disposition.INPUTS_CLEARED)
    job_type, values = job.config.type, job.config.parameters()
    if not plan.pictures or job.disposition not in complete or values.get("pictures") is False:
        return []
    if job_type.panels_when and values[job_type.panels_when] is None:
        return []
    return [f"{job.path}/{panel}.png" for panel in job_type.panels]


def slot(plan: Plan, job: PlannedJob, name: str) -> str | Callable[[Any], str]:
    """Return the file that fills an input slot; of a batch, the function with which Snakemake finds it."""
    if not job.config.type.per_micrograph:
        return job.inputs[name].path
    return lambda wildcards: batch_input(plan, job, name, wildcards.batch)


def out(job: PlannedJob, name: str) -> list[str]:
    """Return the files of an output: one, one per number, or none where the parameters leave it out."""
    output = job.config.type.output(name)
    files = [job.file(each) for each in output.all_numbers(job.config.parameters())]
    return files if is_made(job.config, output) else []


def regenerated(job: PlannedJob) -> list[str] | Callable[[Any], list[str]]:
    """Return what must be regenerated before the job, or one of its batches, can read its inputs."""
    if not job.config.type.per_micrograph:
        return list(job.needs.get("", ()))
    return (lambda wildcards: list(job.needs.get(wildcards.batch, ()))) if job.needs else []


def batch_inputs(plan: Plan, path: str, key: str) -> list[str]:
    """Return the input files of one batch of a per-micrograph job; pinned ones, which are not followed, apart."""
    job = plan.at(path)
    files = [batch_input(plan, job, slot, key) for slot, source in job.inputs.items() if not source.pinned]
    return files + list(job.needs.get(key, ()))


def batch_input(plan: Plan, job: PlannedJob, slot: str, key: str) -> str:
    """Return the file that fills one slot for one batch: the upstream batch's STAR if the job is streamed."""
    return job.batch_source(slot, batch_number(key), plan.jobs.values())


def batch_stars(plan: Plan, path: str) -> list[str]:
    """Return the STAR files of all batches of a per-micrograph job, which are joined into its output."""
    return plan.at(path).batch_stars()


def job_inputs(plan: Plan, path: str) -> list[str]:
    """Return the input files of a job that is not per micrograph; pinned ones, which are not followed, apart."""
    job = plan.at(path)
    return [source.path for source in job.inputs.values() if not source.pinned] + list(job.needs.get("", ()))


def data_again(job: PlannedJob) -> list[str]:
    """Return the files that mark cleaned data of a per-micrograph job as regenerated."""
    return [batch_star(job.path, key) for key in job.again.values()]


def arguments(plan: Plan, path: str, key: str = "") -> str:
    """Return the command line of a job's program without program and threads: --out, inputs, parameters.

    Only what the user stated is written, to keep commands readable; `--help` prints the defaults.
    """
    job = plan.at(path)
    words = [*(["--project", plan.folder] if plan.folder else []), "--out", path]
    if key:
        words += ["--batch", key]
    if job.config.type.by_hand:
        words += ["--picks", f"{DECISIONS}/{job.name}"]
    for slot, source in job.inputs.items():
        words += [f"--{slot}", batch_input(plan, job, slot, key) if key else source.path]
    for name, value in job.config.stated.items():
        if value == {}:
            continue  # nothing follows its name, which the program would take for a mistake
        words += [f"--{name}", *words_of(value)]
    if wants_gpu(plan, job):
        words += ["--gpus", str(ranks(job))]
    return shlex.join(words)


def words_of(value: Any) -> list[str]:
    """Return a parameter's value as words of a command line."""
    if isinstance(value, dict):
        return [f"{name}={item}" for name, item in value.items()]
    if isinstance(value, list):
        return [str(item) for item in value]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def ranks(job: PlannedJob) -> int:
    """Return the number of MPI ranks of a job; 1 for types without MPI."""
    return int(job.config.parameters().get("mpi_ranks") or 1)


def launcher(job: PlannedJob) -> str:
    """Return the words between `python` and the program of a job: none, or those that start its MPI ranks."""
    if ranks(job) == 1:
        return ""
    command = job.config.parameters().get("mpi_launcher")
    words = ["-m", "cryosnake.running.launch", str(ranks(job)), *(["--launcher", command] if command else [])]
    return shlex.join(words) + " "


def environment(plan: Plan, job: PlannedJob) -> str:
    """Return the conda environment of a job's program: gpu (which has MPI, too), mpi for several ranks, or cpu."""
    return "gpu" if wants_gpu(plan, job) else "mpi" if ranks(job) > 1 else "cpu"


def threads(plan: Plan, job: PlannedJob) -> int:
    """Return the cores that a job uses, the threads of all its ranks: of those that the call was given, its share.

    A long job takes them all, up to what its type makes use of; the batches that a job still has to do share them.
    Where jobs run on other computers, or on a GPU, it is the job type's number.
    """
    resources = job.config.type.resources
    share = 0 if wants_gpu(plan, job) else plan.cores
    if job.config.type.per_micrograph:
        share //= max(1, sum(not os.path.exists(star) for star in batch_stars(plan, job.path)))
    return max(resources.threads, min(share // ranks(job), resources.most_threads)) * ranks(job)


def threads_of_rank(job: PlannedJob) -> Callable[[Any, int], int]:
    """Return the function by which Snakemake divides the threads that it granted among the ranks."""
    count = ranks(job)
    return lambda wildcards, threads: max(1, threads // count)


def mpi_resources(plan: Plan, job: PlannedJob) -> dict[str, Any]:
    """Return the resources of a job with several ranks for the SLURM executor: `tasks`, and CPUs and GPUs of each."""
    if ranks(job) == 1:
        return {}
    found = {"mpi": "srun", "tasks": ranks(job), "cpus_per_task": threads_of_rank(job)}
    if wants_gpu(plan, job):  # with `gpu`, SLURM would get both a total of tasks and tasks per GPU
        found |= {"gres": f"gpu:{ranks(job)}", "tasks_per_gpu": 1}
    return found


def gpus(plan: Plan, job: PlannedJob) -> int:
    """Return how many GPUs the rule of a single process requests; `mpi_resources` has those of several."""
    return int(wants_gpu(plan, job) and ranks(job) == 1)


def wants_gpu(plan: Plan, job: PlannedJob) -> bool:
    """Whether a GPU is requested: `device: gpu`, or `auto` if the plan says that there are GPUs."""
    device = job.config.parameters().get("device", "cpu")
    return device == "gpu" or (device == "auto" and plan.gpu)
