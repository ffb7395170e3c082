"""Particles that no refinement may be started with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.programs.refinement.particle_checks import check_values, not_applied, refuse_blank
from cryosnake.programs.refinement.particles import read_particles

NAMES = [f"{i:06d}@a.mrcs" for i in range(1, 5)]


def table(**changes: list[float]) -> pd.DataFrame:
    columns = {"rlnImageName": NAMES, "rlnDefocusU": [1e4] * 4, "rlnAngleRot": [0.0] * 4}
    return pd.DataFrame({**columns, **changes})


OPTICS = pd.DataFrame({"rlnOpticsGroup": [1], "rlnCtfDataAreCtfPremultiplied": [0]})


def test_good_particles_pass() -> None:
    check_values("p.star", table(), OPTICS, True)
    check_values("p.star", table(rlnDefocusU=[np.nan] * 4), OPTICS, False)


@pytest.mark.parametrize(("particles", "optics", "words"), [
    (table(rlnDefocusU=[1e4, np.nan, 1e4, 1e4]), OPTICS, "rlnDefocusU is not a number for 1 particle.*000002@a.mrcs"),
    (table(rlnAngleRot=[0, 0, np.inf, 0]), OPTICS, "rlnAngleRot is not a number.*000003@a.mrcs"),
    (table(rlnImageName=[*NAMES[:3], NAMES[0]]), OPTICS, "appear twice, the first is 000001@a.mrcs"),
    (table(), OPTICS.assign(rlnCtfDataArePhaseFlipped=1), "rlnCtfDataArePhaseFlipped is set"),
])
def test_what_would_spoil_a_refinement_is_refused(particles, optics, words) -> None:
    with pytest.raises(CryosnakeError, match=words):
        check_values("p.star", particles, optics, True)


@pytest.mark.parametrize(("column", "found", "words"), [
    ("rlnDefocusU", "None", "rlnDefocusU is not a number .*000002@a.mrcs .row 2 of data_particles: None"),
    ("rlnDefocusU", "9000,5", "write 9000.5"), ("rlnCtfScalefactor", "0", "rlnCtfScalefactor is not above 0"),
    ("rlnAngleRot", "-1.#IND", "rlnAngleRot is not a number"), ("rlnOriginXAngst", "1e30", "rlnOriginXAngst is not"),
    ("rlnOpticsGroup", "og1", "rlnOpticsGroup is not a number .*row 2 of data_particles: og1"),
    ("rlnRandomSubset", "1.5", "rlnRandomSubset is not a whole number"),
    ("rlnVoltage", "None", "rlnVoltage is not a number"), ("rlnVoltage", "300000", "rlnVoltage is not between 10"),
    ("rlnSphericalAberration", "-1", "rlnSphericalAberration is not between"),
    ("rlnImageSize", "nan", "rlnImageSize is not a number"),
    ("rlnImagePixelSize", "0", "rlnImagePixelSize is not above 0"),
    ("rlnCtfDataArePhaseFlipped", "True", "rlnCtfDataArePhaseFlipped is set"),
])
def test_a_particle_file_with_a_field_that_is_no_value_is_refused(tmp_path, column, found, words) -> None:
    optics = {"rlnOpticsGroup": "1", "rlnImagePixelSize": "1.5", "rlnImageSize": "64", "rlnVoltage": "300",
              "rlnSphericalAberration": "2.7", "rlnAmplitudeContrast": "0.1", "rlnCtfDataArePhaseFlipped": "False"}
    rows = [{"rlnImageName": name, "rlnOpticsGroup": "1", "rlnDefocusU": "9000", "rlnDefocusV": "9000",
             "rlnDefocusAngle": "0", "rlnAngleRot": "0", "rlnCtfScalefactor": "1", "rlnOriginXAngst": "0",
             "rlnRandomSubset": "1"} for name in NAMES]
    path = write(tmp_path / "p.star", [optics], rows)
    assert read_particles(path).box == 64
    if column in rows[1]:
        rows[1][column] = found
    else:
        optics[column] = found
    with pytest.raises(CryosnakeError, match=words):
        read_particles(write(tmp_path / "p.star", [optics], rows))


def write(path: Path, optics: list[dict[str, str]], particles: list[dict[str, str]]) -> Path:
    path.write_text("".join(f"data_{name}\n\nloop_\n" + "".join(f"_{label}\n" for label in rows[0])
                            + "".join(" ".join(row.values()) + "\n" for row in rows) + "\n"
                            for name, rows in (("optics", optics), ("particles", particles))))
    return path


@pytest.mark.parametrize(("column", "harmless", "harmful"), [
    ("rlnBeamTiltX", 0.0, 0.3), ("rlnBeamTiltY", "None", -1.0), ("rlnMagMat00", 1.0, 1.06), ("rlnMagMat01", 0.0, 0.01),
    ("rlnMagMat11", 1.0000001, 0.95), ("rlnOddZernike", "[0,0.0,0]", "[0.1,0.2,-1.5,0,0,-1.2]"),
    ("rlnEvenZernike", "[]", "[0,0,0,0.4]"),
])
def test_aberrations_in_the_wrong_table_are_named(column, harmless, harmful) -> None:
    assert not_applied(table()) == ""
    assert not_applied(table(**{column: [harmless] * 4})) == ""
    said = not_applied(table(**{column: [harmful, harmless] * 2}))
    assert said.startswith(f"WARNING: {column}: ") and "NOT APPLIED" in said


@pytest.mark.parametrize(("value", "words"), [(np.nan, "contain NaN"), (0.0, "are blank")])
def test_images_without_content_are_named(value, words) -> None:
    images = np.random.default_rng(1).normal(size=(4, 8, 8)).astype(np.float32)
    refuse_blank("p.star", NAMES, images)
    images[2] = value
    with pytest.raises(CryosnakeError, match=f"p.star: 1 image.*{words}.*000003@a.mrcs"):
        refuse_blank("p.star", NAMES, images)
