"""`cryosnake alias`, `note`, `mark`, `abort`, `continue`, `retry`: actions on a job."""

from __future__ import annotations

from cryosnake.cli.commands import JOB_HELP, Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.find_process import find_job, job_path_of
from cryosnake.project.actions import job_actions
from cryosnake.project.actions.continuing import continue_with_iterations, way_on
from cryosnake.project.actions.notes import add_note, edit_note, read_note
from cryosnake.project.actions.retry import retry_failed
from cryosnake.project.building.starting import stop_run
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.watching.owner import describe_watcher, watcher
from cryosnake.watching.requests import ask_for_retry


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    alias = add_command(commands, "alias", _alias, job=True,
                        help="give a job another name, in RELION and in config.yaml")
    alias.add_argument("name", help='the new alias; "" removes it')
    note = add_command(commands, "note", _note, job=True, help="print note.txt of a job, or add to it")
    note.add_argument("text", nargs="*", help="what to add")
    note.add_argument("--edit", action="store_true", help="open it in your editor (VISUAL, EDITOR)")
    mark = add_command(commands, "mark", _mark, job=True,
                       help="mark a job as finished, failed, aborted, final or not-final")
    mark.add_argument("mark", choices=("finished", "failed", "aborted", "final", "not-final"))
    abort = add_command(commands, "abort", _abort, help="ask a running job, or the whole run, to stop")
    abort.add_argument("job", nargs="?", default="", help=JOB_HELP)
    abort.add_argument("--run", action="store_true", help="the whole run in progress, as Ctrl-C does")
    more = add_command(commands, "continue", _continue, job=True,
                       help="say how to continue a job, or continue it with more iterations")
    more.add_argument("--iterations", type=int, default=0, metavar="N",
                      help="total number of iterations of a classification or refinement; changes config.yaml")
    retry = add_command(commands, "retry", _retry, help="process the failed micrographs of a job again")
    retry.add_argument("job", help=JOB_HELP)
    retry.add_argument("--rejected", action="store_true", help="also those that a quality gate rejected")


def _alias(arguments: Arguments) -> None:
    print("\n".join(job_actions.give_alias(find_job(arguments.job), arguments.name)))


def _note(arguments: Arguments) -> None:
    job = job_path_of(arguments.job)
    if arguments.text:
        add_note(job, " ".join(arguments.text))
    if arguments.edit:
        edit_note(job)
    elif not arguments.text:
        print(read_note(job).strip("\n") or f"{job} has no note")


def _mark(arguments: Arguments) -> None:
    print("\n".join(job_actions.mark(find_job(arguments.job), arguments.mark)))


def _abort(arguments: Arguments) -> None:
    if bool(arguments.job) == arguments.run:
        raise CryosnakeError("say which job, or --run for the whole run")
    if arguments.run:
        print(stop_run())
        return
    print("\n".join(job_actions.request_abort(find_job(arguments.job))))


def _continue(arguments: Arguments) -> None:
    job = find_job(arguments.job)
    found = continue_with_iterations(job, arguments.iterations) if arguments.iterations else way_on(job)
    print("\n".join(filter(None, [*found.done, found.reason, found.command and f"run: {found.command}"])))


def _retry(arguments: Arguments) -> None:
    job, owner = job_path_of(arguments.job), watcher()
    if owner and running_claim():
        ask_for_retry(job, rejected=arguments.rejected)
        print(f"noted; the watcher ({describe_watcher(owner)}) will do it after the current round")
        return
    names = retry_failed(job, rejected=arguments.rejected)
    print("\n".join(names))
    print(f"{len(names)} micrographs; `snakemake` processes them again" if names else "nothing to retry")
