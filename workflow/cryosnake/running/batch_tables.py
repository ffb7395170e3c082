"""The STAR files around a batch: input rows by micrograph, output rows and optics, and how much they list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import OPTICS, checked, number_of
from cryosnake.io.paths import MicrographNames, product_root, usual_name
from cryosnake.io.star import optics_of, read_star, write_star
from cryosnake.io.star_optics import with_optics
from cryosnake.io.star_rows import count_rows
from cryosnake.jobs.forms import PICKED_ON, FileSource, PerMicrograph, Row
from cryosnake.jobs.model import JobType
from cryosnake.json_files import parse_json
from cryosnake.names import shown, why_unusable
from cryosnake.project.planning.planned import PER_MICROGRAPH
from cryosnake.project.records.batches import Finished, batch_number, batch_star, read_manifest
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.unknown_names import LACKING
from cryosnake.running.arguments import Arguments

_NAMES = ("rlnMicrographMovieName", "rlnMicrographName")
LEFT_OUT = "; "  # in the record of a micrograph, between what it gave and what was left out of it


@dataclass(frozen=True)
class BatchInput:
    """The rows of a batch by micrograph, in order, the optics groups by number, and why some rows can't be used.

    `unknown` has the rows of other tables whose micrograph is none of these: table to name to what it lists; and under
    `LACKING` the micrographs that another table lacks.
    """

    rows: dict[str, Row]
    optics: dict[int, Row]
    refused: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_input(job_type: JobType, program: PerMicrograph, arguments: Arguments) -> BatchInput:
    """Return the input of a batch: its movies (import), or the joined rows of its input STAR files.

    Raises
    ------
    CryosnakeError
        for a STAR file without the columns that name micrographs, or with an optics group that is not described, or
        not by sensible numbers
    """
    if not job_type.inputs:
        names = read_manifest(arguments.out).get(batch_number(arguments.batch), [])
        source = cast(FileSource, program)
        return BatchInput(source.rows(arguments.options, names), source.optics(arguments.options))
    first, *others = [(path, with_optics(path, read_star(path))) for slot, path in arguments.inputs.items()
                      if PER_MICROGRAPH.intersection(job_type.slot(slot).types)]
    rows, optics = _by_name(*first), optics_of(first[1], first[0])
    every, unknown = set(rows), {}
    lacking: dict[str, str] = {}
    for other in others:
        found = _by_name(*other)
        same = _same(every, found)
        lacking |= {name: f"{other[0]} has no row of it" for name in rows if name not in same}
        unknown[str(other[0])] = {name: _listing(found[name]) for name in found.keys() - set(same.values())}
        rows = {name: _with(row, found[same[name]]) for name, row in rows.items() if name in same}
    _check_optics(rows, optics, first[0])
    used = {row.get("rlnOpticsGroup") for row in rows.values()}
    checked(first[0], "optics", pd.DataFrame(list(optics.values()))[[number in used for number in optics]], OPTICS)
    return BatchInput(rows, optics, _refused(arguments.out, rows), {**unknown, LACKING: lacking} if others else {})


def _same(names: Collection[str], others: Collection[str]) -> dict[str, str]:
    """Return which of the others each name is; one that could be several, or several that could be one, are none."""
    table = MicrographNames(others)
    found = {name: like[0] for name in names if len(like := table.like(name)) == 1}
    exact = {other for name, other in found.items() if usual_name(name) == usual_name(other)}
    several = {other for other, count in Counter(found.values()).items() if count > 1}
    return {name: other for name, other in found.items()
            if usual_name(name) == usual_name(other) or other not in exact | several}


def _with(row: Row, other: Row) -> Row:
    """Return a row with the columns of another table, but the name that its own table gives the micrograph."""
    own = {label: row[label] for label in _NAMES if label in row}
    label = next(label for label in _NAMES if label in other)
    elsewhere = label in own and usual_name(str(other[label])) != usual_name(str(own[label]))
    return {**row, **other, **own, **({PICKED_ON: other[label]} if elsewhere else {})}


def _listing(row: Row) -> str:
    picks = row.get("rlnMicrographCoordinates")
    return f"the picks in {picks}" if picks else "a row"


def _by_name(path: Path, tables: Mapping[str, pd.DataFrame]) -> dict[str, Row]:
    data = {block: table for block, table in tables.items() if block != "optics"}
    if not data:
        return {}  # RELION writes no empty tables: nothing of the batch is left
    table = next(iter(data.values()))
    for label in _NAMES:
        if label in table:
            return _each_once(path, label, table.to_dict("records"))  # type: ignore[arg-type]
    raise CryosnakeError(f"{path}: no column rlnMicrographMovieName or rlnMicrographName (found "
                         f"{', '.join(map(str, table.columns))}); connect a job or file that lists micrographs")


def _each_once(path: Path, label: str, rows: Sequence[Row]) -> dict[str, Row]:
    """Return rows by the usual names of their files; of equal rows one counts.

    Raises
    ------
    CryosnakeError
        when a micrograph, also in another spelling of its path, has two rows that differ
    """
    found: dict[str, Row] = {}
    for row in rows:
        name = usual_name(str(row[label]))
        first = found.setdefault(shown(name), row)
        if first is row:
            row[label] = name
            continue
        differing = [column for column in row if column != label and str(first[column]) != str(row[column])]
        if "rlnCoordinateX" in differing:
            raise CryosnakeError(f"{path} has a row for each particle, not for each micrograph; connect it to "
                                 "`particles` of extract")
        if differing:
            raise CryosnakeError(f"{path}: {name} is listed twice, with different values of {', '.join(differing)}; "
                                 "keep the row that is right")
        print(f"{path}: {name} is listed twice, with equal rows; one of them counts")
    return found


def _refused(out: str, rows: Mapping[str, Row]) -> dict[str, str]:
    """Return why rows can't be used: their names can't be, or their products are those of an earlier row."""
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    for name, row in rows.items():
        reason = why_unusable(next(str(row[label]) for label in _NAMES if label in row))
        twin = first.setdefault(product_root(out, name), name)
        if reason or twin != name:
            found[name] = f"{reason or f'would get the same products as {twin}'}; rename it where it was made"
    return found


def _check_optics(rows: Mapping[str, Row], optics: Mapping[int, Row], path: Path) -> None:
    """Make numbers of the optics groups of rows. A row of a group that is not described fails by itself, later."""
    strange = ""
    for name, row in rows.items():
        number = number_of(row.get("rlnOpticsGroup"))  # one word in the column makes texts of all
        if number in optics:
            row["rlnOpticsGroup"] = int(number)
        else:
            strange = strange or name
    if strange and not any(row.get("rlnOpticsGroup") in optics for row in rows.values()):
        raise CryosnakeError(f"{path}: {strange} is in optics group {rows[strange].get('rlnOpticsGroup')}, which block "
                             "data_optics does not describe; import the movies again with their optics")


def rows_file(out: Path, number: int) -> Path:
    """Return the path of the file in which a batch records the rows of each micrograph as it is finished."""
    return out / BATCHES / f"{number:04d}.rows"


def read_rows(out: Path, number: int) -> dict[str, list[Row]]:
    """Return the rows of each micrograph of a batch, the last ones of each."""
    rows: dict[str, list[Row]] = {}
    try:
        text = rows_file(out, number).read_text()
    except FileNotFoundError:
        return rows
    for line in text.splitlines():
        try:
            name, found = parse_json(line)
        except ValueError:
            continue  # a torn line: its micrograph has no line in the .done file either
        rows[name] = found
    return rows


def write_output(job_type: JobType, program: PerMicrograph, arguments: Arguments, batch: BatchInput,
                 rows: Mapping[str, list[Row]]) -> None:
    """Write the STAR file of a batch, with the optics table as changed by the program."""
    optics = _optics_of_output(program, arguments, [dict(group) for group in batch.optics.values()])
    block = table_name(job_type, program, arguments)
    table = [row for found in rows.values() for row in found]
    tables: dict[str, Any] = {}
    if optics and (block != "coordinate_files" or not table):
        tables["optics"] = pd.DataFrame(optics)
    if table:  # RELION's rule: an empty table is not written
        tables[block] = pd.DataFrame(table)
    write_star(batch_star(arguments.out, arguments.batch), tables)


def _optics_of_output(program: PerMicrograph, arguments: Arguments, groups: list[Row]) -> list[Row]:
    """Return the output's optics table; most programs copy the input's, or add a column."""
    if hasattr(program, "optics_of_output"):
        return list(program.optics_of_output(groups, arguments.options, arguments.inputs))
    update = getattr(program, "update_optics", None)
    return [update(group, arguments.options) for group in groups] if update else groups


def table_name(job_type: JobType, program: PerMicrograph, arguments: Arguments) -> str:
    """Return the block of the output STAR; a program may decide it by its options (import: movies, micrographs)."""
    decide = getattr(program, "table", None)
    return str(decide(arguments.options)) if decide else job_type.table


def found_in(rows: Sequence[Row]) -> str:
    """Return what the rows of one micrograph list, as in "312 picks" or "305 particles"; "" for anything else."""
    if rows and "rlnImageName" in rows[0]:
        return f"{len(rows)} particles"
    if rows and "rlnMicrographCoordinates" in rows[0]:
        return f"{count_rows(rows[0]['rlnMicrographCoordinates'], ('',))} picks"
    return ""


def found_in_all(items: Iterable[Finished]) -> str:
    """Return the sum over micrographs, as in "1,408 particles"; "" where that of one is not known."""
    counts = [item.reason.partition(LEFT_OUT)[0].partition(" ") for item in items if item.state == "ok"]
    units = {unit for _, _, unit in counts}
    if len(units) != 1 or units == {""} or not all(number.isdecimal() for number, _, _ in counts):
        return ""
    return f"{sum(int(number) for number, _, _ in counts):,} {units.pop()}"
