"""`cryosnake pick`: the particles that a person picked: what there is, and picks taken from files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cryosnake.cli.commands import Arguments, Commands, add_command, add_json, print_json
from cryosnake.errors import CryosnakeError
from cryosnake.project.actions.picking import PickingOffer, picking_offer, take_picks

_ENDINGS = ("_manualpick", "_autopick", "_pick", "_picks", "_coords", "_DW")  # that programs add to a micrograph's name
_ORIGINS = {"person": "by hand", "relion": "in RELION", "automatic": "to start from", "none": ""}


def register(commands: Commands) -> None:
    """Add the command of this module."""
    command = add_command(commands, "pick", _pick, help="show what was picked by hand, or take picks from files")
    command.add_argument("job", help="a job of config.yaml of type manualpick, or its directory")
    command.add_argument("--from", dest="files", nargs="+", default=[], metavar="FILE", help="a list of RELION "
                         "(manualpick.star, autopick.star, coords_suffix_….star), or coordinates on one micrograph "
                         "each (.star, .box, .cbox), which are known by their names")
    command.add_argument("--micrograph", default="", metavar="FILE", help="the micrograph of a file whose name does "
                         "not say it")
    add_json(command)


def _pick(arguments: Arguments) -> None:
    offer = picking_offer(arguments.job)
    if not arguments.files:
        print_json(lambda: _data(offer)) if arguments.json else _show(offer)
        return
    picks = _picks_in(list(map(Path, arguments.files)), arguments.micrograph, offer)
    written = take_picks(offer.job, picks)
    offer = picking_offer(offer.job)
    if arguments.json:
        print_json(lambda: _data(offer))
        return
    left = len(picks) - len(written)
    print(f"{os.path.commonpath(written)}: picks on {len(written)} micrographs were taken"
          f"{f'; {left} that {offer.job} has not were left out' if left else ''}\n{offer.remark}\n"
          "run: snakemake --cores all")


def _picks_in(files: Sequence[Path], micrograph: str, offer: PickingOffer) -> dict[str, Path]:
    """Return the coordinate file by micrograph, of lists and of files of one micrograph."""
    from cryosnake.io.coordinates.lists import is_list, listed_coordinates

    missing = next((file for file in files if not file.is_file()), None)
    if missing:
        raise CryosnakeError(f"{missing} does not exist")
    if micrograph and (len(files) > 1 or is_list(files[0])):
        raise CryosnakeError("--micrograph is for one file with the coordinates on one micrograph")
    found: dict[str, Path] = {}
    for file in files:
        found |= ({name: Path(path) for name, path in listed_coordinates(file).items()} if is_list(file) else
                  {micrograph or _named_like(file, offer): file})
    return found


def _named_like(file: Path, offer: PickingOffer) -> str:
    """Return the micrograph that a file of coordinates is named after."""
    stems = {file.stem, *(file.stem.removesuffix(ending) for ending in _ENDINGS)}
    found = [one.name for one in offer.micrographs if Path(one.name).stem in stems]
    if len(found) != 1:
        raise CryosnakeError(f"{file}: {len(found) or 'no'} micrographs of {offer.job} have this name; say which one "
                             "it is of with --micrograph")
    return found[0]


def _show(offer: PickingOffer) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("micrograph", "picks", "", "", ""):
        table.add_column(title, justify="right" if title == "picks" else "left", no_wrap=True)
    for one in offer.micrographs:
        table.add_row(one.name, str(one.picks or ""), _ORIGINS[one.origin], "" if one.selected else "not selected",
                      "made on the earlier motion correction" if one.earlier else "")
    Console(highlight=False, width=1000).print(table)
    by_hand = [one for one in offer.micrographs if one.origin in ("person", "relion")]
    print(f"{offer.job}{f' ({offer.directory})' if offer.directory else ''}: {sum(one.picks for one in by_hand):,} "
          f"picks on {len(by_hand):,} of {len(offer.micrographs):,} micrographs\n{offer.remark}\n"
          f"pick: cryosnake web --edit, job {offer.job}; or cryosnake pick {offer.job} --from FILE")


def _data(offer: PickingOffer) -> dict[str, Any]:
    listed = [{"micrograph": one.name, "picks": one.picks, "origin": one.origin, "earlier": one.earlier,
               "selected": one.selected} for one in offer.micrographs]
    return {"job": offer.job, "directory": offer.directory, "diameter": offer.diameter, "users": list(offer.users),
            "remark": offer.remark, "micrographs": listed}
