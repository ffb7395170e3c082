"""The optics tables of joined tables in one: groups of one name are merged only where their values agree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import checked, number_of

if TYPE_CHECKING:
    import pandas as pd

_NUMBER, _NAME = "rlnOpticsGroup", "rlnOpticsGroupName"
# What a table without the column says: no aberration, the magnification that the pixel size gives
_USUAL: dict[str, Any] = {
    "rlnBeamTiltX": 0.0, "rlnBeamTiltY": 0.0, "rlnOddZernike": "[0,0,0,0,0,0]",
    "rlnEvenZernike": "[0,0,0,0,0,0,0,0,0]", "rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0,
    "rlnMagMat11": 1.0, "rlnCtfDataAreCtfPremultiplied": 0, "rlnCtfDataArePhaseFlipped": 0}
_NEEDED = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnImagePixelSize", "rlnImageSize")
_LIST = re.compile(r"[^\[\],\s]+")
_SAME = 1e-6  # relative: STAR files have seven digits


def with_checked_groups(path: str, optics: pd.DataFrame, rows: pd.DataFrame, kind: str,
                        ) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables with optics groups as whole numbers.

    Raises
    ------
    CryosnakeError
        when data_optics lists a number twice, or rows are of a group that it does not list
    """
    for block, table in (("optics", optics), (kind, rows)):
        if _NUMBER not in table.columns:
            raise CryosnakeError(f"{path}: data_{block} has no column {_NUMBER}; add it, with the number of the optics "
                                 "group of each row")
    optics = checked(path, "optics", optics, [_NUMBER]).reset_index(drop=True)
    rows = checked(path, kind, rows, [_NUMBER])
    numbers, groups = optics[_NUMBER].tolist(), rows[_NUMBER]
    if len(set(numbers)) < len(numbers):
        raise CryosnakeError(f"{path}: data_optics lists an {_NUMBER} twice ({', '.join(map(str, numbers))}); correct "
                             "the file, or run the job again that made it")
    unknown = rows.index[~groups.isin(numbers)]
    if len(unknown):
        raise CryosnakeError(f"{path}: {len(unknown):,} {kind} are of optics group {groups[unknown[0]]}, which "
                             f"data_optics does not list (it has {', '.join(map(str, numbers))}); the first is row "
                             f"{unknown[0] + 1} of data_{kind}. Add the group, or run the job again that made the file")
    if _NAME not in optics.columns:
        optics = optics.assign(**{_NAME: [f"opticsGroup{number}" for number in numbers]})
    return optics, rows


def joined_optics(paths: Sequence[str], tables: Sequence[pd.DataFrame], kind: str,
                  ) -> tuple[pd.DataFrame, list[dict[int, int]]]:
    """Return one optics table with groups numbered from 1, and for each table the new number of each group.

    Groups of one name whose values agree are one; another one of that name gets a name of its own, which is printed.

    Raises
    ------
    CryosnakeError
        when only some tables have the values of the microscope, or the size of the images
    """
    import pandas as pd

    labels = _labels(paths, tables, kind)
    taken = {str(name) for table in tables for name in table[_NAME]}
    groups: list[dict[str, Any]] = []
    makers: list[tuple[str, str]] = []  # the table and the name there of each
    numbers: list[dict[int, int]] = []
    for path, table in zip(paths, tables, strict=True):
        own: dict[int, int] = {}
        for fields in _usual(table, labels).to_dict("records"):
            row = {str(label): value for label, value in fields.items()}
            name, number = str(row[_NAME]), int(row[_NUMBER])
            alike = [at for at, (maker, known) in enumerate(makers) if known == name and maker != path]
            at = next((at for at in alike if not _difference(groups[at], row, labels)), len(groups))
            if at == len(groups):
                if name in {group[_NAME] for group in groups}:
                    row[_NAME] = _free_name(name, taken)
                    _say_apart(path, name, row, groups[alike[0]] if alike else {}, labels)
                groups.append(row | {_NUMBER: at + 1})
                makers.append((path, name))
            own[number] = at + 1
        numbers.append(own)
    return pd.DataFrame(groups, columns=[_NAME, _NUMBER, *labels]), numbers


def _labels(paths: Sequence[str], tables: Sequence[pd.DataFrame], kind: str) -> list[str]:
    """Return the columns of the joined optics table besides name and number; prints those that are left out."""
    found = []
    for label in dict.fromkeys(label for table in tables for label in table.columns):
        without = [path for path, table in zip(paths, tables, strict=True) if label not in table.columns]
        if without and label in _NEEDED:
            raise CryosnakeError(f"{without[0]}: data_optics has no {label}, as the other tables have that are to be "
                                 f"joined; add it, or connect a job whose {kind} have it")
        if without and label not in _USUAL:
            print(f"data_optics: left out, for {' and '.join(without)} lack{'s' * (len(without) == 1)} it: {label}")
        elif label not in (_NUMBER, _NAME):
            found.append(label)
    return found


def _usual(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Return an optics table with all of these columns: those that it lacks say that nothing is unusual."""
    return table.assign(**{label: _USUAL[label] for label in labels if label not in table.columns})


def _difference(group: dict[str, Any], other: dict[str, Any], labels: Sequence[str]) -> str:
    """Return the first column in which two optics groups differ, "" if none."""
    return next((label for label in labels if not _agree(group[label], other[label])), "")


def _agree(value: object, other: object) -> bool:
    """Whether two fields agree: as numbers, as lists such as [0.1,0,0] (a shorter one goes on with 0), or as texts."""
    parts = [[number_of(text) for text in _LIST.findall(str(field))] for field in (value, other)]
    if not all(map(np.isfinite, parts[0] + parts[1])):
        return str(value) == str(other)
    length = max(map(len, parts))
    first, second = (np.array(part + [0.0] * (length - len(part))) for part in parts)
    return bool(np.allclose(first, second, rtol=_SAME, atol=_SAME))


def _free_name(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"


def _say_apart(path: str, name: str, row: dict[str, Any], other: dict[str, Any], labels: Sequence[str]) -> None:
    label = _difference(other, row, labels) if other else ""
    why = f", for {label} is {_written(row[label])}, and not {_written(other[label])}" if label else ""
    print(f"{path}: its optics group {name} is {row[_NAME]} here{why}")


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
