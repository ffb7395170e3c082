"""`cryosnake alias`, `note`, `mark`, `abort`, `continue`: what one does to a job."""

from __future__ import annotations

from cryosnake.cli.commands import Arguments, Commands
from cryosnake.cli.history import JOB_HELP


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    alias = commands.add_parser("alias", help="give a job another name, in RELION and in config.yaml")
    alias.add_argument("job", help=JOB_HELP)
    alias.add_argument("name", help='the new alias; "" takes it away')
    alias.set_defaults(function=_alias)
    note = commands.add_parser("note", help="print note.txt of a job, or add to it")
    note.add_argument("job", help=JOB_HELP)
    note.add_argument("text", nargs="*", help="what to add")
    note.add_argument("--edit", action="store_true", help="open it in your editor (VISUAL, EDITOR)")
    note.set_defaults(function=_note)
    mark = commands.add_parser("mark", help="mark a job as finished, failed, aborted, final or not-final")
    mark.add_argument("job", help=JOB_HELP)
    mark.add_argument("mark", choices=("finished", "failed", "aborted", "final", "not-final"))
    mark.set_defaults(function=_mark)
    abort = commands.add_parser("abort", help="ask a running job to stop")
    abort.add_argument("job", help=JOB_HELP)
    abort.set_defaults(function=_abort)
    go_on = commands.add_parser("continue", help="say how a job goes on, or let it go on with more iterations")
    go_on.add_argument("job", help=JOB_HELP)
    go_on.add_argument("--iterations", type=int, default=0, metavar="N",
                       help="iterations in all, of a classification or refinement; changes config.yaml")
    go_on.set_defaults(function=_continue)


def _alias(arguments: Arguments) -> None:
    from cryosnake.project.actions.job_actions import give_alias
    from cryosnake.project.records.jobs import find_job

    print("\n".join(give_alias(find_job(arguments.job), arguments.name)))


def _note(arguments: Arguments) -> None:
    from cryosnake.project.actions.notes import add_note, edit_note, read_note
    from cryosnake.project.records.jobs import job_path_of

    job = job_path_of(arguments.job)
    if arguments.text:
        add_note(job, " ".join(arguments.text))
    if arguments.edit:
        edit_note(job)
    elif not arguments.text:
        print(read_note(job).strip("\n") or f"{job} has no note")


def _mark(arguments: Arguments) -> None:
    from cryosnake.project.actions.job_actions import mark
    from cryosnake.project.records.jobs import find_job

    print("\n".join(mark(find_job(arguments.job), arguments.mark)))


def _abort(arguments: Arguments) -> None:
    from cryosnake.project.actions.job_actions import request_abort
    from cryosnake.project.records.jobs import find_job

    print("\n".join(request_abort(find_job(arguments.job))))


def _continue(arguments: Arguments) -> None:
    from cryosnake.project.actions.continuing import continue_with_iterations, way_on
    from cryosnake.project.records.jobs import find_job

    job = find_job(arguments.job)
    found = continue_with_iterations(job, arguments.iterations) if arguments.iterations else way_on(job)
    print("\n".join(filter(None, [*found.done, found.reason, found.command and f"run: {found.command}"])))
