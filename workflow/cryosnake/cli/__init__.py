"""`cryosnake`: commands for a project, given in its folder.

`snakemake --cores N` runs the project.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from cryosnake import __version__
from cryosnake.errors import CryosnakeError
from cryosnake.human import escape_what_terminals_lack

# modules of this package and their commands, in the order of the help; each has `register(commands)`, which adds them
TOPICS = {
    "init": ("init",),
    "run": ("run", "preview"),
    "config_jobs": ("add", "set", "remove"),
    "status": ("status", "list"),
    "history": ("show", "chain", "outputs", "command", "diff"),
    "choose": ("choose",),
    "deciding.curate": ("curate",),
    "job_actions": ("alias", "note", "mark", "abort", "continue", "retry"),
    "pick": ("pick",),
    "flowchart": ("flowchart",),
    "report": ("report",),
    "web": ("web", "view"),
    "watch": ("watch",),
    "schedules": ("import-schedule",),
    "pipeline_file": ("rebuild-pipeline", "restore-pipeline"),
    "profile": ("profile",),
    "doctor": ("doctor",),
    "completion": ("completion",),
    "cleaning": ("delete", "undelete", "empty-trash", "clean", "unclean", "cleanup", "archive", "unarchive"),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code (1 after a user error, with a message)."""
    escape_what_terminals_lack()
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] == ["simulate"]:
        from cryosnake.programs.simulate.command import main as simulate

        return _guarded(lambda: simulate(words[1:]))
    parser = _parser(words[0] if words else "")
    arguments, more = parser.parse_known_args(words)
    if more and not getattr(arguments, "takes_more", False):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    arguments.more = more
    return _guarded(lambda: arguments.function(arguments))


def _guarded(function: Callable[[], int | None]) -> int:
    try:
        return function() or 0
    except CryosnakeError as error:
        print(f"cryosnake: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `cryosnake list | head`
        sys.stderr.close()
        return 1
    except PermissionError as error:
        print(f"cryosnake: {error.filename}: {error.strerror}; it belongs to another user. Work as that user, or ask "
              "the project's owner for write permission for your group (chgrp -R GROUP ., chmod -R g+w ., umask 002)",
              file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, an unmounted one: files are complete or unchanged
        if error.filename is None and error.errno is None:
            raise
        print(f"cryosnake: {error.filename or 'the disk'}: {error.strerror}; fix this and run the command again",
              file=sys.stderr)
        return 1


def parser_of_all() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command by its name."""
    return next(dict(action.choices) for action in _parser("")._actions
                if isinstance(action, argparse._SubParsersAction))


def _parser(command: str) -> argparse.ArgumentParser:
    """Return the parser of a command, importing only its module; of all commands if there is no such command."""
    parser = argparse.ArgumentParser(prog="cryosnake", description=__doc__)
    parser.add_argument("--version", action="version", version=f"cryosnake {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for topic in [topic for topic, names in TOPICS.items() if command in names] or TOPICS:
        importlib.import_module(f"cryosnake.cli.{topic}").register(commands)
    commands.add_parser("simulate", help="make a simulated data set (cryosnake simulate --help)")
    return parser
