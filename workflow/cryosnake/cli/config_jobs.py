"""`cryosnake add`, `set`, `remove`: the jobs of config.yaml, its comments and its layout kept."""

from __future__ import annotations

import argparse

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError
from cryosnake.project.actions.config_edit import body_of, change_job
from cryosnake.project.building.config_jobs import add_job, remove_job, values_of
from cryosnake.project.config.text_edits import FILE, read_config

_VALUES = ("an input or a parameter, read as YAML: particles=good.particles, iterations=30, patches='[5, 5]'; a job "
           "that this one is connected to is named as in config.yaml")


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    add = add_command(commands, "add", _add, help="add a job to config.yaml",
                      description="Adds a job at the end of config.yaml, which is begun where there is none, and "
                      "checks it as a run does. `python -m cryosnake.running TYPE --help` lists a type's parameters.")
    add.add_argument("name", help="its name, which other jobs use and which becomes its alias")
    add.add_argument("type", help="its type, such as class2d")
    add.add_argument("values", nargs="*", metavar="key=value", help=_VALUES)
    change = add_command(commands, "set", _set, help="change parameters and connections of a job of config.yaml",
                         description="Changes what config.yaml says of a job. Its next run gets a new number, and so "
                         "do the jobs that follow from it; the results so far stay.")
    change.add_argument("name", metavar="JOB", help="the job's name in config.yaml")
    change.add_argument("values", nargs="+", metavar="key=value", help=f"{_VALUES}; `key=` removes it")
    remove = add_command(commands, "remove", _remove, help="remove a job from config.yaml; its files stay",
                         formatter_class=argparse.RawDescriptionHelpFormatter)
    remove.add_argument("name", metavar="JOB", help="the job's name in config.yaml; no other job may use it")


def _add(arguments: Arguments) -> None:
    values, _ = values_of(arguments.type, _pairs(arguments.values), arguments.name)
    lines = add_job(arguments.name, arguments.type, values)
    print(f"{FILE}, line {_range(lines)}: {arguments.name}\nnext: `cryosnake run -n` says what would run")


def _set(arguments: Arguments) -> None:
    stated = body_of(read_config(), arguments.name)
    values, unset = values_of(str(stated.get("type")), _pairs(arguments.values), arguments.name)
    lines = change_job(arguments.name, values, unset)
    print(f"{FILE}, line {_range(lines)}: {arguments.name}\nnext: `cryosnake run -n` says what would run" if lines
          else f"{arguments.name} says that already")


def _remove(arguments: Arguments) -> None:
    print("\n".join(remove_job(arguments.name)))


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    for word in words:
        if "=" not in word:
            raise CryosnakeError(f"{word}: write key=value, such as iterations=30")
    return [(name.strip(), value) for name, _, value in (word.partition("=") for word in words)]


def _range(lines: list[int]) -> str:
    return f"{lines[0]} to {lines[-1]}" if lines[1:] else f"{lines[0]}"
