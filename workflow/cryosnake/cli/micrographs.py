"""`cryosnake retry`: micrographs that failed."""

from __future__ import annotations

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.project.actions.retry import retry_failed
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.watching.owner import told, watcher
from cryosnake.watching.requests import ask_for_retry


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    retry = add_command(commands, "retry", _retry, help="ask again for micrographs that failed in a job")
    retry.add_argument("job", help="job directory or alias, such as MotionCorr/job002 or MotionCorr/motion")
    retry.add_argument("--rejected", action="store_true", help="also those that a quality gate turned down")


def _retry(arguments: Arguments) -> None:
    owner = watcher()
    if owner and running_claim():
        ask_for_retry(arguments.job, rejected=arguments.rejected)
        print(f"noted; the watcher ({told(owner)}) does it after its present round")
        return
    names = retry_failed(arguments.job, rejected=arguments.rejected)
    print("\n".join(names))
    print(f"{len(names)} micrographs; `snakemake` processes them again" if names else "nothing to retry")
