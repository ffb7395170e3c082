# Look-ups shared by the rules. Each returns what Snakemake needs for one job of the plan.

import os
import re
import shlex

from cryosnake.installation import workflow_folder

SCRIPTS = workflow_folder() / "scripts"

shell.prefix(session.environment(workflow))


def rule_name(job, suffix=""):
    """The job's name in the config as an identifier, different from the rules of the Snakefile."""
    name = re.sub(r"\W", "_", job.name) + suffix
    return f"{name}_" if name == "all" or name[0].isdigit() else name


def script(job):
    """The job type's program; types from other packages have no script in scripts/."""
    path = f"{SCRIPTS}/run_{job.config.type.name}.py"
    program = shlex.quote(path) if os.path.exists(path) else f"-m cryosnake.running {job.config.type.name}"
    return rule_values.launcher(job) + program


def batch_inputs(job):
    return lambda wildcards: rule_values.batch_inputs(plan, job.path, wildcards.batch)


def batch_arguments(job):
    return lambda wildcards: rule_values.arguments(plan, job.path, wildcards.batch)


def whole_inputs(job):
    """The inputs; those that have not grown enough to start the job again may be newer than its results."""
    files = rule_values.job_inputs(plan, job.path)
    return [ancient(file) for file in files] if job.disposition is Disposition.BELOW_GROWTH else files


def memory(job):
    return lambda wildcards, threads, attempt: memory_mb(plan, job, rule_values.ranks(job), threads) * attempt


def runtime(job):
    return lambda wildcards, attempt: job.config.type.resources.runtime * attempt


def by_kind(per_micrograph):
    jobs = [job for job in plan.jobs.values() if job.config.type.per_micrograph == per_micrograph]
    return [job for job in jobs if job.disposition not in (Disposition.INPUTS_CLEARED, Disposition.OTHER_LANE)]
