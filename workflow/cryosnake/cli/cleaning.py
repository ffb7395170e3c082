"""`cryosnake clean` and `unclean`: files of jobs to the Trash and back."""

from __future__ import annotations

import sys

from cryosnake.cli.commands import Arguments, Commands


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    clean = commands.add_parser("clean", help="move files that a job no longer needs to the Trash")
    clean.add_argument("jobs", nargs="*", metavar="JOB", help="directory, number or alias")
    clean.add_argument("--all", action="store_true", help="every job that succeeded and is not protected")
    level = clean.add_mutually_exclusive_group(required=True)
    level.add_argument("--gentle", dest="level", action="store_const", const="gentle",
                       help="logs, intermediate iterations")
    level.add_argument("--harsh", dest="level", action="store_const", const="harsh",
                       help="also micrographs and particle stacks, which can be computed again")
    level.add_argument("--clear", dest="level", action="store_const", const="clear",
                       help="all results; what the job was stays, and it can be run again")
    clean.add_argument("--relion", action="store_true", help="exactly the files that RELION 3.1 takes")
    clean.add_argument("--force", action="store_true", help="also files that a scheduled job still needs")
    clean.add_argument("--dry-run", "-n", action="store_true", help="only say what would go")
    clean.set_defaults(function=_clean)
    unclean = commands.add_parser("unclean", help="bring cleaned files back from the Trash")
    unclean.add_argument("jobs", nargs="+", metavar="JOB")
    unclean.add_argument("--recompute", action="store_true",
                         help="what is no longer in the Trash is made again by the next `snakemake`")
    unclean.set_defaults(function=_unclean)


def _clean(arguments: Arguments) -> int:
    from cryosnake.errors import CryosnakeError
    from cryosnake.pipeline.model import Status
    from cryosnake.project.cleaning.clean import clean, plan_cleaning
    from cryosnake.project.cleaning.delete import current_pipeline
    from cryosnake.project.locks.clean_up_lock import cleaning_up
    from cryosnake.project.records.human import human_size
    from cryosnake.project.records.jobs import find_job

    if arguments.all == bool(arguments.jobs) or (arguments.relion and arguments.level == "clear"):
        raise CryosnakeError("name jobs, or give --all; --relion goes with --gentle and --harsh")
    pipeline = current_pipeline()
    names = [name for name, process in pipeline.processes.items() if process.status == Status.SUCCEEDED]
    if not arguments.all:
        names = [find_job(job, pipeline).name for job in arguments.jobs]
    total, refused = 0, 0
    for name in names:
        try:
            cleaning = plan_cleaning(pipeline, name, arguments.level, relion=arguments.relion, force=arguments.force)
            if not arguments.dry_run:
                with cleaning_up():
                    clean(cleaning)
        except CryosnakeError as error:  # one protected job does not stop the others
            print(f"cryosnake: {error}", file=sys.stderr)
            refused += 1
            continue
        total += cleaning.size
        print(f"{name.rstrip('/')}  {len(cleaning.files)} files  {human_size(cleaning.size)}",
              *(f"  {reason}" for reason in cleaning.kept), sep="\n")
    verb = "would go" if arguments.dry_run else "are now in the Trash; `cryosnake unclean JOB` brings them back"
    print(f"{human_size(total)} {verb}")
    return int(bool(refused) and not arguments.all)


def _unclean(arguments: Arguments) -> int:
    from cryosnake.project.cleaning.clean import unclean
    from cryosnake.project.cleaning.delete import current_pipeline
    from cryosnake.project.locks.clean_up_lock import cleaning_up
    from cryosnake.project.records.cleaned_files import set_wanted
    from cryosnake.project.records.jobs import find_job

    incomplete = False
    for job in arguments.jobs:
        name = find_job(job, current_pipeline()).name
        with cleaning_up():
            gone = unclean(name)
        if gone and arguments.recompute:
            set_wanted(name.rstrip("/"), True)
            print(f"{name.rstrip('/')}: {len(gone)} files will be made again by the next `snakemake`")
            continue
        incomplete = incomplete or bool(gone)
        told = "all files are back"
        if gone:
            told = (f"{len(gone)} files are no longer in the Trash, such as {gone[0]}; --recompute lets the next "
                    "`snakemake` make them again, as it does when a job needs them")
        print(f"{name.rstrip('/')}: {told}")
    return int(incomplete)
