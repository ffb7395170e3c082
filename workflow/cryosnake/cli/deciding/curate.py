"""`cryosnake curate`: micrographs or particles accepted and rejected by limits and by eye."""

from __future__ import annotations

from cryosnake.cli.commands import Arguments, Commands, add_command, add_json, print_json
from cryosnake.errors import CryosnakeError
from cryosnake.limits import ACCEPT, REJECT
from cryosnake.project.actions.curating import (
    EARLIER,
    Curated,
    counts,
    curated,
    earlier_flags,
    names_of,
    save,
    with_flags,
)


def register(commands: Commands) -> None:
    """Add the command of this module."""
    command = add_command(commands, "curate", _curate, help="accept or reject micrographs by limits and by eye")
    command.add_argument("job", help="a job of config.yaml of type curate, or a select with limits")
    command.add_argument("--limit", action="append", default=[], metavar="COLUMN=MIN..MAX",
                         help="keep values of a column between these, as in rlnCtfMaxResolution=..6; =.. removes it")
    for option, what in (("accept", "go on"), ("reject", "are left out"), ("unflag", "are judged by limits alone")):
        command.add_argument(f"--{option}", nargs="+", action="extend", default=[], metavar="NAME",
                             help=f"these {what}: names such as Movies/a, or just a")
    command.add_argument("--as-in-config", action="store_true", help="limits are those of config.yaml again")
    add_json(command)


def _curate(arguments: Arguments) -> None:
    found = curated(arguments.job)
    if arguments.limit or arguments.accept or arguments.reject or arguments.unflag or arguments.as_in_config:
        found = _changed(found, arguments)
    if arguments.json:
        print_json(lambda: _data(found))
    else:
        _show(found)


def _data(found: Curated) -> dict[str, object]:
    counted = counts(found)
    return {"job": found.job, "path": found.path, "of": found.table, "limits": found.limits, "flags": found.flags,
            "total": counted.total, "accepted": counted.accepted, "left_out": dict(counted.by_rule)}


def _changed(found: Curated, arguments: Arguments) -> Curated:
    limits = dict(found.in_config if arguments.as_in_config else found.limits)
    for text in arguments.limit:
        label, equals, limit = text.partition("=")
        if not equals:
            raise CryosnakeError(f"--limit {text}: write COLUMN=MIN..MAX, as in rlnCtfMaxResolution=..6")
        if limit.strip() == "..":
            limits.pop(label, None)
        else:
            limits[label] = limit.strip()
    flags = found.curation.flags
    for words, state in ((arguments.accept, ACCEPT), (arguments.reject, REJECT), (arguments.unflag, "")):
        flags = with_flags(found, names_of(found, words), state, flags)
    path = save(found, limits, flags)
    if not arguments.json:
        print(f"{path} written; run: snakemake --cores all")
    return curated(arguments.job)


def _show(found: Curated) -> None:
    counted = counts(found)
    print(f"{found.job} ({found.path or 'not run yet'}) accepts {counted.accepted:,} of {counted.total:,} {found.kind} "
          f"of {found.table}")
    for rule, count in counted.by_rule.items():
        print(f"  {rule}: {count:,} left out")
    again = earlier_flags(found)
    for name, state in found.flags.items():
        remark = f" ({EARLIER})" if name in again else ""
        print(f"  {state}: {name}{remark}")
