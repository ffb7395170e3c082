"""`cryosnake archive` and `unarchive`: a project that is finished, and may be moved elsewhere."""

from __future__ import annotations

from cryosnake.cli.commands import Arguments, Commands


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    commands.add_parser("archive", help="make the project read-only").set_defaults(function=_archive)
    commands.add_parser("unarchive", help="open an archived project again").set_defaults(function=_unarchive)


def _archive(_: Arguments) -> None:
    from cryosnake.project.locks.clean_up_lock import cleaning_up
    from cryosnake.project.records.archive import archive

    with cleaning_up():
        archive()
    print("archived: the folder may be moved; `cryosnake unarchive` in it opens it again")


def _unarchive(_: Arguments) -> None:
    from cryosnake.project.records.archive import unarchive

    for link in unarchive():
        print(f"{link} is a link that leads nowhere any more; point it to where these data are now (ln -sfn)")
    print("open again")
