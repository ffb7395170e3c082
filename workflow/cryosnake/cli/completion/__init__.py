"""`cryosnake completion`: a script by which a shell completes commands, options and jobs."""

from __future__ import annotations

from cryosnake.cli.commands import Arguments, Commands, add_command


def register(commands: Commands) -> None:
    """Add the command of this module."""
    command = add_command(commands, "completion", _completion, help="print a script for the completion of a shell")
    command.add_argument("shell", choices=("bash", "zsh", "jobs"),
                         help="bash or zsh; jobs: the names that begin with PREFIX, which the scripts ask for")
    command.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="with jobs")


def _completion(arguments: Arguments) -> None:
    if arguments.shell == "jobs":  # at each press of the key: nothing else is imported
        from cryosnake.cli.completion.jobs import job_names

        for name in job_names(arguments.prefix):
            print(name)
        return
    from cryosnake.cli.completion.scripts import script_for

    print(script_for(arguments.shell), end="")
