"""`cryosnake delete`, `undelete`, `empty-trash`: jobs into the Trash and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryosnake.cli.commands import Arguments, Commands

if TYPE_CHECKING:
    from cryosnake.pipeline.model import Pipeline


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    delete = commands.add_parser("delete", help="move jobs, and all that depends on them, to the Trash")
    delete.add_argument("jobs", nargs="+", metavar="JOB", help="directory, number or alias, such as Refine3D/job012")
    delete.add_argument("--dry-run", "-n", action="store_true", help="only say what would go")
    delete.add_argument("--yes", "-y", action="store_true", help="also delete jobs that were not named")
    delete.set_defaults(function=_delete)
    undelete = commands.add_parser("undelete", help="bring deleted jobs back; without a name, list them")
    undelete.add_argument("jobs", nargs="*", metavar="JOB")
    undelete.set_defaults(function=_undelete)
    empty = commands.add_parser("empty-trash", help="remove what is in the Trash, for ever")
    empty.add_argument("--yes", "-y", action="store_true", help="do it; without this the size is shown")
    empty.set_defaults(function=_empty)


def _delete(arguments: Arguments) -> int:
    from cryosnake.project.cleaning.delete import (
        current_pipeline,
        cut_short,
        delete_jobs,
        finish_deletions,
        plan_deletion,
    )
    from cryosnake.project.locks.clean_up_lock import cleaning_up
    from cryosnake.project.records.file_sizes import folder_size
    from cryosnake.project.records.human import human_size

    if cut_short(current_pipeline()) and not arguments.dry_run:
        with cleaning_up():
            print("finished a deletion that was cut short:", *finish_deletions(current_pipeline()))
    pipeline = current_pipeline()
    jobs = [job for job in arguments.jobs if not _is_in_trash(job, pipeline)]
    if not jobs:
        return 0
    deletion = plan_deletion(pipeline, jobs)
    for name in deletion.all:
        process = pipeline.processes[name]
        why = "" if name in deletion.named else "   depends on what is deleted"
        print(f"{name.rstrip('/')}  {process.short_alias}  {human_size(folder_size(name))}{why}")
    if arguments.dry_run:
        return 0
    more = len(deletion.all) - len(deletion.named)
    if more and not arguments.yes:
        print(f"{more} more jobs would go with what you named; nothing was done. Add --yes to delete all of these")
        return 1
    with cleaning_up():
        delete_jobs(deletion)
    print(f"{len(deletion.all)} jobs are in the Trash; `cryosnake undelete {deletion.named[0].rstrip('/')}` brings "
          "them back. A job that config.yaml still lists is made anew by the next `snakemake`")
    return 0


def _is_in_trash(job: str, pipeline: Pipeline) -> bool:
    """Whether a job is not in the project but in the Trash: the command that deleted it may be repeated."""
    from cryosnake.errors import CryosnakeError
    from cryosnake.project.cleaning.undelete import deletion_of

    if _is_in_project(job, pipeline):
        return False
    try:
        deletion_of(job)
    except CryosnakeError:
        return False
    print(f"{job} is in the Trash")
    return True


def _is_in_project(job: str, pipeline: Pipeline) -> bool:
    from cryosnake.errors import CryosnakeError
    from cryosnake.project.records.jobs import find_job

    try:
        find_job(job, pipeline)
    except CryosnakeError:
        return False
    return True


def _undelete(arguments: Arguments) -> None:
    from cryosnake.errors import CryosnakeError
    from cryosnake.project.cleaning.delete import current_pipeline, finish_deletions
    from cryosnake.project.cleaning.undelete import deletion_of, deletions, undelete
    from cryosnake.project.locks.clean_up_lock import cleaning_up

    if not arguments.jobs:
        for item in deletions():
            print(", ".join(name.rstrip("/") for name in item.part.processes))
        return
    for job in arguments.jobs:
        notes: list[str] = []
        with cleaning_up():
            finish_deletions(current_pipeline())
            try:
                deleted = deletion_of(job)
            except CryosnakeError as error:
                if _is_in_project(job, current_pipeline()):  # a repeated command
                    print(f"{job} is in the project")
                    continue
                raise error
            undelete(deleted, notes)
        print("back:", ", ".join(name.rstrip("/") for name in deleted.part.processes), *notes, sep="\n")


def _empty(arguments: Arguments) -> None:
    from cryosnake.project.cleaning.trash import TRASH
    from cryosnake.project.cleaning.undelete import deletions, empty_trash
    from cryosnake.project.locks.clean_up_lock import cleaning_up
    from cryosnake.project.records.file_sizes import folder_size
    from cryosnake.project.records.human import human_size

    if not arguments.yes:
        jobs = [name.rstrip("/") for item in deletions() for name in item.part.processes]
        print(f"the Trash holds {human_size(folder_size(TRASH + '/'))}; deleted jobs: {', '.join(jobs) or 'none'}. "
              "--yes removes it for ever")
        return
    with cleaning_up():
        print(f"{human_size(empty_trash())} freed")
