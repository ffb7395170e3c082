# Look-ups shared by the rules. Each returns what Snakemake needs for one job of the plan: a file, a number, or a function
# of the batch. What they are for a type of job is in its definition, workflow/cryosnake/jobs/.

import os
import shlex
from functools import partial

from cryosnake.installation import workflow_folder

SCRIPTS = workflow_folder() / "scripts"
WITHOUT_RULES = (Disposition.INPUTS_CLEARED, Disposition.OTHER_LANE)  # their files are taken as they are
TYPES_WITH_RULES = set()


wildcard_constraints:
    batch=r"\d\d\d\d+(\.(r|again)\d+)?",


shell.prefix(session.environment(workflow))

batches = partial(rule_values.batch_stars, plan)
gpus = partial(rule_values.gpus, plan)
mpi_resources = partial(rule_values.mpi_resources, plan)
pictures = partial(rule_values.pictures, plan)
out = rule_values.out
picked = PlannedJob.picked
cores = partial(rule_values.threads, plan)
threads_of_rank = rule_values.threads_of_rank


def jobs_of(*types):
    """The project's jobs of these types."""
    TYPES_WITH_RULES.update(types)
    jobs = (job for job in plan.jobs.values() if job.config.type.name in types)
    return [job for job in jobs if job.disposition not in WITHOUT_RULES]


def other_jobs():
    """The jobs of all other types: External, and those that other packages add."""
    return jobs_of(*{job.config.type.name for job in plan.jobs.values()} - TYPES_WITH_RULES)


def joined_jobs():
    """The jobs whose batches are joined in this run."""
    batched = (job for job in jobs_of(*TYPES_WITH_RULES) if job.config.type.per_micrograph)
    return [job for job in batched if job.disposition is not Disposition.BATCHES_ONLY]


def drawn_jobs():
    """The jobs of which pictures are drawn."""
    return [job for job in plan.jobs.values() if pictures(job)]


def rule_name(job, suffix=""):
    """The job's name in the config as an identifier, different from the rules of the Snakefile and a project's own."""
    return rule_values.rule_name(job.name, suffix)


def as_taken(job, files):
    """Input files. Those that have not grown enough to start the job again may be newer than its results."""
    return ancient(files) if job.disposition is Disposition.BELOW_GROWTH else files


def slot(job, name):
    """What fills an input slot; a pinned job stays as it is, though it may be newer."""
    files = rule_values.slot(plan, job, name)
    return ancient(files) if job.inputs[name].pinned else as_taken(job, files)


def optional(job, name):
    """What fills a slot that may be left empty."""
    return slot(job, name) if name in job.inputs else []


def regenerated(job):
    """Cleaned data that must be made again before the job can read them."""
    return as_taken(job, rule_values.regenerated(job))


def outputs(job):
    """All outputs of a job, by their names."""
    return {output.name: job.file(output) for output in job.outputs()}


def script(job):
    """The job type's program; types from other packages have no script in scripts/."""
    path = f"{SCRIPTS}/run_{job.config.type.name}.py"
    return shlex.quote(path) if os.path.exists(path) else f"-m cryosnake.running {job.config.type.name}"


def program(job):
    """The job type's program, on as many MPI ranks as the job asks for."""
    return lambda wildcards: rule_values.launcher(job) + script(job)


def arguments(job):
    """The program's arguments: directory, inputs, and the parameters that the user stated; braces in them are text."""
    return lambda wildcards: rule_values.arguments(plan, job.path)


def batch_arguments(job):
    return lambda wildcards: rule_values.arguments(plan, job.path, wildcards.batch)


def memory(job):
    first = partial(memory_mb, plan, job, rule_values.ranks(job))
    return lambda wildcards, threads, attempt: first(threads) * session.times_as_much(
        job, wildcards.get("batch", ""), attempt, "memory"
    )


def runtime(job):
    return lambda wildcards, attempt: job.config.type.resources.runtime * session.times_as_much(
        job, wildcards.get("batch", ""), attempt, "time"
    )


def environment(job):
    """The conda environment of a job that may use GPUs or several MPI ranks."""
    return f"../envs/{rule_values.environment(plan, job)}.yaml"


def in_report(job, picture):
    """A picture as `snakemake --report` shows it: by topic, with the caption of its name."""
    name = os.path.basename(picture).removesuffix(".png")
    return report(
        picture,
        caption=f"../report/{name}.rst",
        category=job.config.type.topic.capitalize(),
        labels={"job": f"{job.name} ({job.path})", "picture": name.replace("_", " ")},
    )
