"""Options of `cryosnake delete`, `clean`, `cleanup`, `archive` and the commands that undo them."""

from __future__ import annotations

import argparse
from pathlib import Path

from cryosnake.cli import cleaning_commands as actions
from cryosnake.cli.commands import JOB_HELP, Commands, add_command


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    delete = add_command(commands, "delete", actions.run_delete,
                         help="move jobs, and everything that depends on them, to the Trash")
    delete.add_argument("jobs", nargs="+", metavar="JOB", help=JOB_HELP)
    delete.add_argument("--dry-run", "-n", action="store_true", help="only list what would be moved")
    delete.add_argument("--yes", "-y", action="store_true", help="also delete jobs that were not named")
    undelete = add_command(commands, "undelete", actions.run_undelete,
                           help="restore deleted jobs; without a name, list them")
    undelete.add_argument("jobs", nargs="*", metavar="JOB")
    empty = add_command(commands, "empty-trash", actions.run_empty_trash,
                        help="permanently delete what is in the Trash")
    empty.add_argument("--yes", "-y", action="store_true", help="do it; without this, only the size is shown")
    clean = add_command(commands, "clean", actions.run_clean, help="move files that a job no longer needs to the Trash")
    clean.add_argument("jobs", nargs="*", metavar="JOB", help=JOB_HELP)
    clean.add_argument("--all", action="store_true", help="every job that succeeded and is not protected")
    level = clean.add_mutually_exclusive_group(required=True)
    for name, text in (("gentle", "logs, intermediate iterations"),
                       ("harsh", "also micrographs and particle stacks, which can be computed again"),
                       ("clear", "all results; the job's parameters stay, and it can be run again")):
        level.add_argument(f"--{name}", dest="level", action="store_const", const=name, help=text)
    clean.add_argument("--relion", action="store_true", help="exactly the files that RELION 3.1 removes")
    clean.add_argument("--force", action="store_true", help="also files that a scheduled job still needs")
    clean.add_argument("--dry-run", "-n", action="store_true", help="only list what would be moved")
    unclean = add_command(commands, "unclean", actions.run_unclean, help="restore cleaned files from the Trash")
    unclean.add_argument("jobs", nargs="+", metavar="JOB")
    unclean.add_argument("--recompute", action="store_true",
                         help="let the next `snakemake` compute again what is no longer in the Trash")
    cleanup = add_command(
        commands, "cleanup", actions.run_cleanup,
        help="free space in many jobs at once; without --apply, only shows what would be moved",
        description="What is selected is moved to the Trash. Final jobs and raw data are never touched.")
    _add_choices(cleanup)
    add_command(commands, "archive", actions.run_archive, help="make the project read-only")
    add_command(commands, "unarchive", actions.run_unarchive, help="open an archived project again")


def _add_choices(cleanup: argparse.ArgumentParser) -> None:
    cleanup.add_argument("--workspace", default="", help="only the jobs of this workspace of config.yaml")
    ticks = cleanup.add_argument_group("what is moved")
    for verb in ("clear", "delete"):
        for which, text in (("non_final", "on which no final job depends"), ("failed", "that failed"),
                            ("killed", "that were aborted")):
            option = f"--{verb}-{which}".replace("_", "-")
            ticks.add_argument(option, dest="chosen", action="append_const", const=f"{verb}_{which}",
                               help=f"{verb} jobs {text}")
    ticks.add_argument("--preprocessing", default="", metavar="KINDS",
                       help="clear jobs that can be repeated with the same result: motion,ctf,extract,picks,restack")
    ticks.add_argument("--intermediates", dest="chosen", action="append_const", const="intermediates",
                       help="all iterations but the last of every job")
    cleanup.add_argument("--apply", action="store_true", help="do it; also finishes an interrupted clean-up")
    cleanup.add_argument("--refresh", action="store_true", help="measure the whole project again")
    cleanup.add_argument("--json", action="store_true", help="print the preview as JSON")
    cleanup.add_argument("--html", type=Path, metavar="FILE", help="write the preview as an HTML page")
    cleanup.add_argument("--advice", action="store_true", help="rank jobs by what clearing them frees and costs")
