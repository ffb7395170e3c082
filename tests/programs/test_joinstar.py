"""Joins of tables: columns, optics groups, duplicates in every spelling, and what RELION makes of the same tables."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.joinstar import JOB
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.programs.joinstar import joinstar
from cryosnake.programs.refinement.particles import read_particles

TILTED = {"rlnBeamTiltX": [0.5], "rlnBeamTiltY": [-0.25], "rlnOddZernike": ["[0.1,0.2,0.3,0.4,0.5,0.6]"],
          "rlnMagMat00": [1.003], "rlnMagMat01": [0.001], "rlnMagMat10": [0.001], "rlnMagMat11": [0.997]}


def optics(**changes: Any) -> pd.DataFrame:
    table = {"rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1], "rlnMicrographPixelSize": [1.0],
             "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1],
             "rlnImagePixelSize": [3.0], "rlnImageSize": [16], "rlnImageDimensionality": [2]}
    return pd.DataFrame(table | changes)


def particles(job: int, count: int = 20, **more: Any) -> pd.DataFrame:
    """Particles of job `job`, from two micrographs of session `job`, each at a place of its own."""
    number = np.arange(count)
    return pd.DataFrame({
        "rlnImageName": [f"{n + 1:06d}@Extract/job{job:03d}/S{job}/m{n % 2}.mrcs" for n in number],
        "rlnMicrographName": [f"MotionCorr/job002/S{job}/m{n % 2}.mrc" for n in number],
        "rlnCoordinateX": 10.0 + 7 * number, "rlnCoordinateY": 500.0 - 3 * number, "rlnOpticsGroup": 1,
        "rlnDefocusU": 10000.0 + number, "rlnRandomSubset": 1 + number % 2, **more})


def micrographs(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"rlnMicrographName": names, "rlnOpticsGroup": 1, "rlnDefocusU": 9000.0})


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(name: str, groups: pd.DataFrame | None, rows: pd.DataFrame, kind: str = "particles") -> str:
    write_star(name, ({} if groups is None else {"optics": groups}) | {kind: rows})
    return name


def join(*paths: str, kind: str = "particles", **options: Any) -> dict[str, pd.DataFrame]:
    out = Path("JoinStar/job009")
    out.mkdir(parents=True, exist_ok=True)
    inputs = {f"{kind}{number}": path for number, path in enumerate(paths, 1)}
    joinstar.run(JOB.options(**options), inputs, out, lambda *_: None)
    (output,) = (one for one in JOB.outputs if one.name == kind)
    return read_star(out / output.file)


def test_rows_follow_one_another_with_all_that_they_have(capsys) -> None:
    first, second = particles(5, csUid=[2**63 + n for n in range(20)]), particles(6, 9, csUid=range(9))
    found = join(table("a.star", optics(), first), table("b.star", optics(), second))
    assert found["optics"].equals(read_star("a.star")["optics"])
    assert list(found["particles"].columns) == list(first.columns)
    for label in first.columns:
        assert found["particles"][label].tolist() == [*first[label], *second[label]]
    assert capsys.readouterr().out == "join_particles.star: 29 of 20 + 9 particles, 1 optics group\n"


def test_columns_that_only_some_have_are_left_out_and_named(capsys) -> None:
    first = particles(5, rlnClassNumber=3, rlnGroupNumber=1, note="text")
    found = join(table("a.star", optics(), first), table("b.star", optics(), particles(6).drop(
        columns="rlnRandomSubset").assign(rlnGroupNumber=1)))["particles"]
    assert set(first.columns) - set(found.columns) == {"rlnClassNumber", "rlnRandomSubset", "note", "rlnGroupNumber"}
    said = capsys.readouterr().out
    assert "data_particles: left out, for b.star has none: rlnRandomSubset, rlnClassNumber, note" in said
    assert "half sets anew" in said


def test_a_session_without_phase_plate_does_not_take_the_shift_of_the_other(capsys) -> None:
    found = join(table("a.star", optics(), particles(5)), table("b.star", optics(), particles(6, rlnPhaseShift=90.0)))
    assert found["particles"]["rlnPhaseShift"].tolist() == [0.0] * 20 + [90.0] * 20
    assert "a.star: rlnPhaseShift is 0, for it has none" in capsys.readouterr().out


def test_groups_of_one_name_are_merged_where_they_agree_and_kept_apart_where_not(capsys) -> None:
    tables = [table("a.star", optics(), particles(5)), table("b.star", optics(rlnVoltage=[200.0]), particles(6)),
              table("c.star", optics(rlnVoltage=[200.0]), particles(7)),
              table("d.star", optics(rlnOpticsGroupName=["opticsGroup1_2"]), particles(8))]
    found = join(*tables)
    groups = found["optics"]
    assert groups["rlnOpticsGroupName"].tolist() == ["opticsGroup1", "opticsGroup1_3", "opticsGroup1_2"]
    assert groups["rlnOpticsGroup"].tolist() == [1, 2, 3]
    assert groups["rlnVoltage"].tolist() == [300.0, 200.0, 300.0]
    assert found["particles"]["rlnOpticsGroup"].tolist() == [1] * 20 + [2] * 40 + [3] * 20
    assert ("b.star: its optics group opticsGroup1 is opticsGroup1_3 here, for rlnVoltage is 200, and not 300"
            in capsys.readouterr().out)


def test_aberrations_and_half_sets_survive_beside_a_table_without_them() -> None:
    tables = [table("a.star", optics(**TILTED), particles(5)),
              table("b.star", optics(rlnEvenZernike=["[1,0,0,0,0,0,0,0,0]"]), particles(6))]
    found = join(*tables)
    groups, own = found["optics"], optics(**TILTED).iloc[0]
    for label in TILTED:
        assert groups[label][0] == own[label]
    assert groups["rlnBeamTiltX"][1] == 0 and groups["rlnMagMat00"][1] == 1 and groups["rlnMagMat01"][1] == 0
    assert groups["rlnOddZernike"][1] == "[0,0,0,0,0,0]" and groups["rlnEvenZernike"][0] == "[0,0,0,0,0,0,0,0,0]"
    assert groups["rlnEvenZernike"][1] == "[1,0,0,0,0,0,0,0,0]"
    assert found["particles"]["rlnRandomSubset"].tolist() == [1, 2] * 20


def test_each_particle_keeps_the_optics_of_its_session() -> None:
    """What a refinement takes from the tables; benchmarks/join.py refines."""
    defocus = {"rlnDefocusV": 9900.0, "rlnDefocusAngle": 30.0}
    other = optics(rlnVoltage=[200.0], rlnSphericalAberration=[1.4], rlnEvenZernike=["[0,9,0,0,0,0,90,0,0]"])
    paths = [table("a.star", optics(**TILTED), particles(5, **defocus)),
             table("b.star", other, particles(6, rlnPhaseShift=80.0, **defocus))]
    join(*paths)
    joined, sessions = read_particles("JoinStar/job009/join_particles.star"), list(map(read_particles, paths))
    apart = [session.ctf(np.arange(20), full_band(16)) for session in sessions]
    np.testing.assert_array_equal(joined.ctf(np.arange(40), full_band(16)), np.concatenate(apart))
    assert abs(apart[0] - apart[1]).max() > 0.5
    for number, session in enumerate(sessions):
        ours, own = joined.groups[joined.optics[20 * number]], session.groups[0]
        assert (ours.tilt, ours.turned, ours.magnification.tolist()) == (own.tilt, own.turned,
                                                                         own.magnification.tolist())


def test_a_group_without_aberrations_is_that_with_zeros() -> None:
    none = optics(rlnBeamTiltX=[0.0], rlnOddZernike=["[0.0,0,0,0,0,0]"])
    assert len(join(table("a.star", optics(), particles(5)), table("b.star", none, particles(6)))["optics"]) == 1


def test_names_of_groups_are_of_one_table_each() -> None:
    first, second = particles(5, rlnGroupName="group_1"), particles(6, rlnGroupName="group_1")
    names = join(table("a.star", optics(), first), table("b.star", optics(), second))["particles"]["rlnGroupName"]
    assert names.unique().tolist() == ["group_1", "join2_group_1"]


@pytest.mark.parametrize("again", [
    {"rlnImageName": "{here}/Extract/job005/S5/./m0.mrcs"},  # the same image, spelt otherwise
    {"rlnImageName": "Extract/job008/S5/m0.mrcs", "rlnMicrographName": "{here}/MotionCorr/job007/S5/m0.mrc"}])
def test_particles_that_are_there_already_are_refused_in_every_spelling(again: dict[str, str], tmp_path) -> None:
    first, second = particles(5), particles(6)
    twice = first.iloc[[0, 4]].assign(**{
        label: [f"{name.split('@')[0].lstrip('0')}@{again[label].format(here=tmp_path)}" if "Image" in label
                else again[label].format(here=tmp_path) for name in first.iloc[[0, 4]][label]] for label in again})
    paths = [table("a.star", optics(), first), table("b.star", optics(), pd.concat([second, twice]))]
    with pytest.raises(CryosnakeError, match=r"^2 of 42 particles had been listed before.* of b\.star, the same as "
                                             r"000001@Extract/job005/S5/m0\.mrcs of a\.star.*duplicates: keep_first"):
        join(*paths)
    found = join(*paths, duplicates="keep_first")["particles"]
    assert found["rlnImageName"].tolist() == [*first["rlnImageName"], *second["rlnImageName"]]


def test_micrographs_and_movies_of_one_name_are_refused() -> None:
    pair = [table("a.star", optics(), micrographs("MotionCorr/job002/M/a.mrc", "MotionCorr/job002/M/b.mrc"),
                  "micrographs"),
            table("b.star", optics(), micrographs("MotionCorr/job007/M/b.mrc", "MotionCorr/job007/M/c.mrc"),
                  "micrographs")]
    with pytest.raises(CryosnakeError, match=r"1 of 4 micrographs .* is MotionCorr/job007/M/b\.mrc of b\.star"):
        join(*pair, kind="micrographs")
    kept = join(*pair, kind="micrographs", duplicates="keep_first")["micrographs"]["rlnMicrographName"]
    assert kept.tolist() == ["MotionCorr/job002/M/a.mrc", "MotionCorr/job002/M/b.mrc", "MotionCorr/job007/M/c.mrc"]
    for name, movies in (("m.star", ["M/a.tif"]), ("n.star", ["M//a.tif", "N/a.tif"])):
        table(name, optics(), pd.DataFrame({"rlnMicrographMovieName": movies, "rlnOpticsGroup": 1}), "movies")
    with pytest.raises(CryosnakeError, match=r"1 of 3 movies .* is M//a\.tif of n\.star"):
        join("m.star", "n.star", kind="movies")
    assert len(join("m.star", "n.star", kind="movies", duplicates="keep_first")["movies"]) == 2


@pytest.mark.parametrize(("other", "said"), [
    ((optics(), pd.DataFrame({"rlnMicrographMovieName": ["M/a.tif"], "rlnOpticsGroup": 1}), "movies"),
     r"b\.star lists no particles \(it has data_optics, data_movies, .*connect a job that makes particles"),
    ((None, particles(6).drop(columns="rlnOpticsGroup"), "particles"),
     r"b\.star says nothing of its optics: .*Add data_optics"),
    ((optics(), particles(6, rlnOpticsGroup=[1] * 17 + [2] * 3), "particles"),
     r"b\.star: 3 particles are of optics group 2, which data_optics does not list \(it has 1\); the first is row 18"),
    ((pd.concat([optics(), optics()]), particles(6), "particles"), r"b\.star: data_optics lists an rlnOpticsGroup tw"),
    ((optics().drop(columns="rlnVoltage"), particles(6), "particles"), r"b\.star: data_optics has no rlnVoltage, as"),
    ((optics(), particles(6).drop(columns="rlnOpticsGroup"), "particles"), r"b\.star: data_particles has no column"),
])
def test_tables_that_do_not_fit_end_in_a_message_with_file_and_remedy(other: Any, said: str) -> None:
    path = table("b.star", *other)
    with pytest.raises(CryosnakeError, match=said):
        join(table("a.star", optics(), particles(5)), path)


def test_a_table_without_rows_counts_for_nothing(capsys) -> None:
    found = join(table("a.star", optics(), particles(5)), table("b.star", optics(), particles(6)[["rlnImageName"]][:0]
                                                                .assign(rlnOpticsGroup=1)))
    assert len(found["particles"]) == 20 and len(found["particles"].columns) == len(particles(5).columns)
    assert "b.star has no rows" in capsys.readouterr().out


def test_relion_reads_ours_and_joins_the_same_rows(relion: Path) -> None:
    """Ours, of tables with other optics and a column more; RELION's own join of them, and its join of ours."""
    mine = [table("a.star", optics(**TILTED), particles(5, rlnClassNumber=2)),
            table("b.star", optics(rlnOpticsGroupName=["second"], rlnVoltage=[200.0]), particles(6))]
    found = join(*mine)

    def handler(*words: str) -> dict[str, pd.DataFrame]:
        done = subprocess.run([relion / "relion_star_handler", *words, "--o", "relion.star"], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return read_star("relion.star")

    read = handler("--i", "JoinStar/job009/join_particles.star", "--select", "rlnDefocusU", "--minval", "0", "--maxval",
                   "1e9")
    for block in ("optics", "particles"):
        for label in found[block].columns:
            assert same(read[block][label], found[block][label]), label
    joined = handler("--combine", "--i", "a.star b.star", "--check_duplicates", "rlnImageName")
    assert set(found["particles"].columns) == set(joined["particles"].columns)
    for label in joined["particles"].columns:
        assert same(joined["particles"][label], found["particles"][label]), label
    for label in set(joined["optics"].columns) & set(found["optics"].columns):
        assert same(joined["optics"][label], found["optics"][label]), label
    third = table("c.star", optics(rlnOpticsGroupName=["third"]), particles(7))
    again = handler("--combine", "--i", f"JoinStar/job009/join_particles.star {third}", "--check_duplicates",
                    "rlnImageName")
    assert len(again["particles"]) == 60 and again["optics"]["rlnOpticsGroupName"].tolist()[-1] == "third"


def same(first: pd.Series, second: pd.Series) -> bool:
    """Whether two columns agree to RELION's six digits; of lists, number by number."""
    if first.dtype.kind in "fiu" and second.dtype.kind in "fiu":
        return np.allclose(first, second, rtol=1e-5, atol=1e-5)
    return [parts(value) for value in first] == [parts(value) for value in second]


def parts(value: Any) -> Any:
    return [float(x) for x in re.findall(r"[^\[\],]+", value)] if str(value).startswith("[") else value
