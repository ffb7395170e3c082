"""Fields that other programs write where a number is due: read where they are one, else named with place and remedy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import COLUMNS, OPTICS, checked, checked_field, number_of, numbers_of
from cryosnake.io.star import read_star

LABELS = ("rlnOpticsGroupName", "rlnOpticsGroup", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast",
          "rlnImagePixelSize", "rlnImageSize", "rlnCtfDataAreCtfPremultiplied")
GOOD = dict(zip(LABELS, ("og1", "1", "300", "2.7", "0.1", "1.5", "64", "0"), strict=True))


def optics(folder: Path, **changes: str) -> pd.DataFrame:
    """Return data_optics of two groups as it is read, the second with changes."""
    rows = [GOOD, {**GOOD, "rlnOpticsGroupName": "og2", "rlnOpticsGroup": "2", **changes}]
    (folder / "p.star").write_text("data_optics\n\nloop_\n" + "".join(f"_{label}\n" for label in LABELS) + "".join(
        " ".join(row[label] for label in LABELS) + "\n" for row in rows))
    return read_star(folder / "p.star")["optics"]


@pytest.mark.parametrize(("label", "found", "problem"), [
    *[("rlnVoltage", word, "not a number for 1 optics group") for word in
      ("None", "N/A", "null", ".", "-1.#IND", "1.#QNAN", "nan", "inf", "-inf", "<NA>", "3_00", "--")],
    ("rlnVoltage", "300000", r"not between 10 and 3000 kV .*300 stands for 300 kV"), ("rlnVoltage", "0", "not between"),
    ("rlnVoltage", "-300", "not between"), ("rlnVoltage", "0.3", "not between"),
    ("rlnSphericalAberration", "-1", "not between 0 and 20 mm"), ("rlnSphericalAberration", "2700", "not between"),
    ("rlnSphericalAberration", "inf", "not a number"),
    ("rlnAmplitudeContrast", "2", "not between 0 and 1 .*fraction"), ("rlnAmplitudeContrast", "-0.1", "not between"),
    ("rlnAmplitudeContrast", "nan", "not a number"),
    ("rlnImagePixelSize", "0", "not above 0 and at most 1000 Å"),
    ("rlnImagePixelSize", "1,5", "not a number.*; write 1.5"),
    ("rlnImagePixelSize", "-1.5", "not above 0"),
    ("rlnImageSize", "nan", "not a number"), ("rlnImageSize", "64.5", "not a whole number"),
    ("rlnImageSize", "0", "not between 2"), ("rlnImageSize", "-64", "not between 2"),
    ("rlnOpticsGroup", "og1", "not a number"), ("rlnOpticsGroup", "1.5", "not a whole number"),
    ("rlnCtfDataAreCtfPremultiplied", "maybe", "not a number"),
])
def test_what_is_no_value_is_named_with_its_place(tmp_path: Path, label: str, found: str, problem: str) -> None:
    with pytest.raises(CryosnakeError, match=rf"^p.star: {label} is {problem}") as error:
        checked("p.star", "optics", optics(tmp_path, **{label: found}), OPTICS)
    assert f"the first is og2 (row 2 of data_optics: {found})" in str(error.value)
    assert "Correct data_optics" in str(error.value)


@pytest.mark.parametrize(("label", "found", "value"), [
    ("rlnVoltage", "300.000000", 300.0), ("rlnVoltage", "3e2", 300.0), ("rlnVoltage", "+200", 200.0),
    ("rlnImageSize", "64.0", 64), ("rlnImageSize", "6.4e1", 64), ("rlnOpticsGroup", "2.000000", 2),
    ("rlnSphericalAberration", "0", 0.0), ("rlnAmplitudeContrast", "1", 1.0),
    ("rlnCtfDataAreCtfPremultiplied", "True", 1), ("rlnCtfDataAreCtfPremultiplied", "false", 0),
])
def test_every_way_to_write_a_number_is_read(tmp_path: Path, label: str, found: str, value: float) -> None:
    column = checked("p.star", "optics", optics(tmp_path, **{label: found}), OPTICS)[label]
    assert column.iloc[1] == value
    assert column.dtype == (np.int64 if COLUMNS[label].whole else np.float64)


def test_the_row_is_that_of_the_file_where_some_are_left_out(tmp_path: Path) -> None:
    with pytest.raises(CryosnakeError, match=r"og2 \(row 2 of data_optics: 0\)"):
        checked("p.star", "optics", optics(tmp_path, rlnVoltage="0").iloc[1:], OPTICS)
    assert len(checked("p.star", "optics", optics(tmp_path, rlnVoltage="0").iloc[:1], OPTICS)) == 1


def test_particles_are_counted_and_the_first_is_named() -> None:
    names = ["1@a.mrcs", "2@a.mrcs", "3@a.mrcs"]
    table = pd.DataFrame({"rlnImageName": names, "rlnDefocusU": ["9000", "9000,5", "None"]})
    with pytest.raises(CryosnakeError, match=r"rlnDefocusU is not a number for 2 particle\(s\), the first is 2@a.mrcs "
                                             r"\(row 2 of data_particles: 9000,5\); write 9000.5.*Remove them"):
        checked("p.star", "particles", table, ["rlnDefocusU", "rlnDefocusV"])


def test_numbers_of_a_column_with_words() -> None:
    assert np.array_equal(numbers_of(pd.Series(["1", "x", "2.5", "", "1_0"])), [1, math.nan, 2.5, math.nan, math.nan],
                          equal_nan=True)
    assert math.isnan(number_of(None))
    assert number_of(" 5 ") == 5.0


def test_a_field_of_a_micrograph_s_row() -> None:
    row = {"rlnMicrographName": "m.mrc", "rlnDefocusU": "9000.5", "rlnDefocusV": "None",
           "rlnMicrographPreExposure": -1.0}
    assert checked_field(row, "rlnDefocusU") == 9000.5
    assert checked_field(row, "rlnPhaseShift", 0.0) == 0.0
    for label, problem in (("rlnDefocusV", "not a number: None"), ("rlnDefocusAngle", "it is missing"),
                           ("rlnMicrographPreExposure", "not between 0 and 10000 e/Å²: -1")):
        with pytest.raises(CryosnakeError, match=f"m.mrc: {label} is .*{problem}.*correct it"):
            checked_field(row, label)
