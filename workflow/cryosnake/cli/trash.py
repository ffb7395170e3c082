"""`cryosnake delete`, `undelete`, `empty-trash`: jobs into the Trash and back."""

from __future__ import annotations

from cryosnake.cli.commands import Arguments, Commands


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
    from cryosnake.project.clean_up_lock import cleaning_up
    from cryosnake.project.delete import current_pipeline, delete_jobs, finish_deletions, plan_deletion
    from cryosnake.project.file_sizes import folder_size
    from cryosnake.project.status import human_size

    pipeline = current_pipeline()
    deletion = plan_deletion(pipeline, arguments.jobs)
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
        finish_deletions(pipeline)
        delete_jobs(deletion)
    print(f"{len(deletion.all)} jobs are in the Trash; `cryosnake undelete {deletion.named[0].rstrip('/')}` brings "
          "them back. A job that config.yaml still lists is made anew by the next `snakemake`")
    return 0


def _undelete(arguments: Arguments) -> None:
    from cryosnake.project.clean_up_lock import cleaning_up
    from cryosnake.project.delete import current_pipeline, finish_deletions
    from cryosnake.project.undelete import deletion_of, deletions, undelete

    if not arguments.jobs:
        for item in deletions():
            print(", ".join(name.rstrip("/") for name in item.part.processes))
        return
    for job in arguments.jobs:
        notes: list[str] = []
        with cleaning_up():
            finish_deletions(current_pipeline())
            deleted = deletion_of(job)
            undelete(deleted, notes)
        print("back:", ", ".join(name.rstrip("/") for name in deleted.part.processes), *notes, sep="\n")


def _empty(arguments: Arguments) -> None:
    from cryosnake.project.clean_up_lock import cleaning_up
    from cryosnake.project.file_sizes import folder_size
    from cryosnake.project.status import human_size
    from cryosnake.project.trash import TRASH
    from cryosnake.project.undelete import deletions, empty_trash

    if not arguments.yes:
        jobs = [name.rstrip("/") for item in deletions() for name in item.part.processes]
        print(f"the Trash holds {human_size(folder_size(TRASH + '/'))}; deleted jobs: {', '.join(jobs) or 'none'}. "
              "--yes removes it for ever")
        return
    with cleaning_up():
        print(f"{human_size(empty_trash())} freed")
