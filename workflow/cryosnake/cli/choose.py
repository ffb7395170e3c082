"""`cryosnake choose`: the classes that a job goes on with, chosen by a person."""

from __future__ import annotations

import argparse
import math
from typing import Any

from rich.console import Console
from rich.table import Table

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError
from cryosnake.project.actions.choosing import Offer, choice_in_relion, choose, looks_at, numbers_of, offer_for


def register(commands: Commands) -> None:
    """Add the command of this module."""
    command = add_command(commands, "choose", _choose, help="choose classes by number, or show what there is")
    command.add_argument("job", help="a job of config.yaml that goes on with chosen classes, or its classification")
    command.add_argument("--classes", default="", metavar="N,N", help="the numbers, such as 1-3,5")
    command.add_argument("--from", default="", metavar="JOB", dest="relion",
                         help="take what was chosen in RELION's display, in this Select job")
    command.add_argument("--recenter", action=argparse.BooleanOptionalAction, default=None,
                         help="write to config.yaml whether 2D class averages are moved onto their centres")
    command.add_argument("--regroup", type=int, metavar="N",
                         help="write to config.yaml that particles are put into about N groups; 0: left as they are")
    command.add_argument("--show", action="store_true", help="show the classes, and choose nothing")


def _choose(arguments: Arguments) -> None:
    offer, settings = offer_for(arguments.job), _settings(arguments)
    if arguments.classes and arguments.relion:
        raise CryosnakeError("give --classes or --from, not both")
    given = arguments.classes or arguments.relion
    if arguments.show or not (given or settings):
        _show(offer)
        return
    numbers = _numbers(arguments, offer)
    new = {name: value for name, value in settings.items() if offer.settings.get(name) != value}
    if set(numbers) == set(offer.chosen) and not offer.choice.waits and not new:
        print(f"{offer.job} has these classes of {offer.choice.made_on} already")
        return
    path = choose(offer, numbers, settings)
    share = sum(one.share for one in offer.classes if one.number in numbers)
    print(f"{path}: {offer.job} goes on with {', '.join(map(str, sorted(set(numbers))))} of {offer.choice.made_on} "
          f"({share:.0%} of the particles)")
    if new:
        print(f"config.yaml: {offer.job} has {', '.join(f'{name}: {value}' for name, value in new.items())}")
    print("run: snakemake --cores all")
    if offer.remark:
        print(offer.remark)


def _settings(arguments: Arguments) -> dict[str, Any]:
    """Return what the options say of recentring and groups, as the config has it."""
    if arguments.regroup is not None and not 0 <= arguments.regroup <= 999:
        raise CryosnakeError(f"--regroup {arguments.regroup}: write a number of groups up to 999, or 0 for none")
    given = {"recenter": arguments.recenter, "regroup": arguments.regroup}
    return {name: value or (None if name == "regroup" else value) for name, value in given.items() if value is not None}


def _numbers(arguments: Arguments, offer: Offer) -> list[int]:
    if arguments.relion:
        return list(choice_in_relion(offer, arguments.relion).classes)
    if arguments.classes:
        return numbers_of(arguments.classes)
    if not offer.chosen:
        raise CryosnakeError(f"{offer.job} has no classes yet: give --classes, too")
    return list(offer.chosen)


def _show(offer: Offer) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    columns = {"class": [str(one.number) for one in offer.classes],
               "share": [f"{one.share:.1%}" for one in offer.classes],
               "resolution": [_text(one.resolution, ".1f", " Å") for one in offer.classes],
               "score": [_text(one.score, ".2f") for one in offer.classes],
               "chosen": ["*" if one.number in offer.chosen else "" for one in offer.classes]}
    columns = {title: texts for title, texts in columns.items() if any(texts)}
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for texts in zip(*columns.values(), strict=True):
        table.add_row(*texts)
    print(f"{offer.job} chooses from {offer.choice.made_on}")
    console.print(table)
    for file in looks_at(offer):
        print(f"look at: {file}")
    for line in offer.also:
        print(line)
    for made in offer.relion:
        words = made.problem or f"{','.join(map(str, made.classes))}: cryosnake choose {offer.job} --from {made.job}"
        print(f"chosen in RELION, {made.job}: {words}")
    print(f"choose:  cryosnake choose {offer.job} --classes {'N' if offer.choice.single else 'N,N,…'}")
    if offer.remark:
        print(offer.remark)


def _text(value: float, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if math.isfinite(value) else ""
