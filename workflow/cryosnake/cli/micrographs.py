"""`cryosnake retry`: process failed micrographs again."""

from __future__ import annotations

from cryosnake.cli.commands import JOB_HELP, Arguments, Commands, add_command
from cryosnake.pipeline.find_process import job_path_of
from cryosnake.project.actions.retry import retry_failed
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.watching.owner import describe_watcher, watcher
from cryosnake.watching.requests import ask_for_retry


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    retry = add_command(commands, "retry", _retry, help="process the failed micrographs of a job again")
    retry.add_argument("job", help=JOB_HELP)
    retry.add_argument("--rejected", action="store_true", help="also those that a quality gate rejected")


def _retry(arguments: Arguments) -> None:
    job, owner = job_path_of(arguments.job), watcher()
    if owner and running_claim():
        ask_for_retry(job, rejected=arguments.rejected)
        print(f"noted; the watcher ({describe_watcher(owner)}) will do it after the current round")
        return
    names = retry_failed(job, rejected=arguments.rejected)
    print("\n".join(names))
    print(f"{len(names)} micrographs; `snakemake` processes them again" if names else "nothing to retry")
