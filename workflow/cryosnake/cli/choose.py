"""`cryosnake choose`: the classes that a job goes on with, chosen by a person."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError
from cryosnake.project.actions.choosing import Offer, choose, looks_at, offer_for


def register(commands: Commands) -> None:
    """Add the command of this module."""
    command = add_command(commands, "choose", _choose, help="choose classes by number, or show what there is")
    command.add_argument("job", help="a job of config.yaml that goes on with chosen classes, or its classification")
    command.add_argument("--classes", default="", metavar="N,N", help="the numbers, such as 1,3,5")
    command.add_argument("--show", action="store_true", help="show the classes, and choose nothing")


def _choose(arguments: Arguments) -> None:
    offer = offer_for(arguments.job)
    if arguments.show or not arguments.classes:
        _show(offer)
        return
    numbers = _numbers(arguments.classes)
    if set(numbers) == set(offer.chosen) and not offer.choice.waits:
        print(f"{offer.job} has these classes of {offer.choice.made_on} already")
        return
    path = choose(offer, numbers)
    share = sum(one.share for one in offer.classes if one.number in numbers)
    print(f"{path}: {offer.job} goes on with {', '.join(map(str, sorted(set(numbers))))} of {offer.choice.made_on} "
          f"({share:.0%} of the particles)\nrun: snakemake --cores all")
    if offer.remark:
        print(offer.remark)


def _numbers(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if not words or not all(word.isascii() and word.isdecimal() for word in words):
        raise CryosnakeError(f"--classes {text}: write numbers with commas, as in --classes 1,3,5")
    return list(map(int, words))


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
    for file in looks_at(offer.choice):
        print(f"look at: {file}")
    print(f"choose:  cryosnake choose {offer.job} --classes {'N' if offer.choice.single else 'N,N,…'}")
    if offer.remark:
        print(offer.remark)


def _text(value: float, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if math.isfinite(value) else ""
