"""All that this package uses of Snakemake beyond its documented interface: attributes, files, events and texts.

`tests/project/test_snakemake_internals.py` asks Snakemake itself for each of them, and fails when one has changed. The
versions with which that was tested are in pyproject.toml.
"""

from __future__ import annotations

import binascii
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

LOCKS = Path(".snakemake", "locks")
MARKS = Path(".snakemake", "incomplete")
CLUSTER_LOGS = Path(".snakemake", "slurm_logs")
LONGEST = 200  # characters of a mark's name: Snakemake splits longer ones
REFUSED = re.compile(r"sbatch failed\. The error message was '(?:sbatch: )?(?:error: )?(.*?)'\.?\n", re.DOTALL)


def is_main(workflow: Any) -> bool:
    """Whether this process is the call of Snakemake itself, not one of its jobs that parses the Snakefile again."""
    return bool(workflow.is_main_process)


def is_real_run(workflow: Any) -> bool:
    """Whether this process may change the project."""
    return is_main(workflow) and not workflow.output_settings.dryrun


def submits_jobs(workflow: Any) -> bool:
    """Whether jobs run on other computers; known from the start of the run."""
    return bool(workflow.non_local_exec)


def has_environments(workflow: Any) -> bool:
    """Whether conda or a container brings the programs of rules."""
    return bool(workflow.deployment_settings.deployment_method)


def limit_of(workflow: Any, resource: str) -> int | None:
    """Return the limit of a resource (`--resources gpu=2`), None without one."""
    value = getattr(workflow.global_resources.get(resource), "value", None)  # None also where the profile says nothing
    return None if value is None else int(value)


def config_files(workflow: Any) -> list[str]:
    """Return the files that `--configfile` names."""
    return [str(path) for path in workflow.config_settings.configfiles]


def has_config_of_module(workflow: Any) -> bool:
    """Whether another workflow uses this one as a module and gives it its config."""
    return bool(workflow.modifier.skip_configfile)


def put_below(config: dict[str, Any], data: Mapping[str, Any]) -> None:
    """Add data to Snakemake's config where that says nothing itself, as `configfile:` does."""
    from snakemake.utils import update_config

    given = dict(config)
    config.clear()
    config.update(data)
    update_config(config, given)


def hand_on(workflow: Any, key: str, value: str) -> None:
    """Let the jobs of this run get a value of the config, and no config files."""
    settings = workflow.config_settings
    settings.config_args = [*(settings.config_args or []), f"{key}={value}"]
    settings.configfiles = []


def refusal(message: str) -> Exception:
    """Return the exception with which Snakemake ends without a traceback."""
    from snakemake.exceptions import WorkflowError

    found: Exception = WorkflowError(message)
    return found


def remove_lock() -> bool:
    """Remove Snakemake's lock of the project; return whether there was one."""
    stale = list(LOCKS.glob("*.lock"))
    for lock in stale:
        lock.unlink(missing_ok=True)
    return bool(stale)


def marks() -> dict[str, Path]:
    """Return the files that Snakemake takes for incomplete, and what marks each."""
    return dict(_marks())


def _marks() -> Iterator[tuple[str, Path]]:
    """Yield them: marks are named by base64, a long name in several folders, "@" each."""
    for folder, _, names in os.walk(MARKS):
        parts = [part.removeprefix("@") for part in Path(folder).relative_to(MARKS).parts]
        for name in names:
            try:
                yield urlsafe_b64decode("".join([*parts, name])).decode(), Path(folder, name)
            except (binascii.Error, UnicodeDecodeError):
                continue


def mark(path: str) -> bool:
    """Let Snakemake take a file for incomplete; return False for a path that is too long."""
    name = urlsafe_b64encode(path.encode()).decode()
    if len(name) > LONGEST:
        return False
    MARKS.mkdir(parents=True, exist_ok=True)
    Path(MARKS, name).write_text('{"external_jobid": null}')
    return True


@dataclass(frozen=True, kw_only=True)
class FailedJob:
    """A job that Snakemake reports as failed; `external` is the scheduler's number, "" for a job of this computer."""

    number: Any
    rule: str
    said: str
    outputs: tuple[str, ...]
    external: str


def listener(finished: Callable[[Any], object], failed: Callable[[FailedJob], object]) -> logging.Handler:
    """Return what hears of finished jobs (by number) and of failed ones from Snakemake's log."""
    import logging  # here: every job of a cluster that parses the Snakefile imports this module

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            event, content = getattr(getattr(record, "event", None), "value", ""), vars(record)
            try:
                if event == "job_finished":
                    finished(content["job_id"])
                elif event == "job_error":
                    failed(FailedJob(number=content["jobid"], rule=content["rule_name"],
                                     said=str(content["rule_msg"] or ""), outputs=tuple(map(str, content["output"])),
                                     external=str(content["aux"].get("external_jobid", ""))))
            except Exception:  # what is said about a failure must not add another one
                self.handleError(record)

    return Listener(logging.INFO)


def begin_listening(handler: logging.Handler) -> None:
    """Hand Snakemake's log to what `listener` returns."""
    from snakemake.logging import logger

    logger.addHandler(handler)


def forbid_retries(workflow: Any, rule: str) -> None:
    """Let Snakemake not try a rule's failed jobs again in this run."""
    workflow.get_rule(rule).restart_times = 0


def resources_of(workflow: Any, number: Any) -> Any:
    """Return the resources of a job by Snakemake's number, an empty mapping where it is unknown."""
    return next((job.resources for job in workflow.dag.jobs if workflow.dag.jobid(job) == number), {})


def cluster_log(external: str) -> Path | None:
    """Return the log of a job of SLURM's executor by the scheduler's number."""
    return next(CLUSTER_LOGS.rglob(f"{external}.log"), None) if external else None


def rule_of_comment(comment: str) -> str:
    """Return the rule of a job in SLURM's queue by its comment `rule_motion_wildcards_0001`; "" for other jobs."""
    return comment.removeprefix("rule_").partition("_wildcards_")[0] if comment.startswith("rule_") else ""
