"""What Select writes for RELION when classes are chosen: its choice, averages on their centres, fewer groups."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_select import OPTICS, choose, particles

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_images, read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.programs.select.classes import write_class_averages


@pytest.fixture
def classified(tmp_path: Path) -> dict[str, Path]:
    """Particles of seven classes in twelve groups of two optics groups, with their model.star; blobs off the centre."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:32, :32] - 16
    centres = rng.uniform(-4, 4, (7, 2))
    stack = np.exp(-((x - centres[:, :1, None]) ** 2 + (y - centres[:, 1:, None]) ** 2) / 18.0).astype(np.float32)
    write_mrc(tmp_path / "run_it025_classes.mrcs", stack, 3.0, stack=True)
    table = particles(400)
    table["rlnGroupNumber"] = np.sort(rng.integers(1, 13, len(table)))
    table["rlnOpticsGroup"] = np.where(table["rlnGroupNumber"] > 9, 2, 1)
    optics = pd.concat([OPTICS, OPTICS.assign(rlnOpticsGroup=2, rlnOpticsGroupName="og2")])
    write_star(tmp_path / "run_it025_data.star", {"optics": optics, "particles": table})
    write_star(tmp_path / "run_it025_model.star", {
        "model_general": {"rlnNrClasses": 7},
        "model_classes": pd.DataFrame({
            "rlnReferenceImage": [f"{i:06d}@{tmp_path}/run_it025_classes.mrcs" for i in range(1, 8)],
            "rlnClassDistribution": 1 / 7, "rlnAccuracyRotations": 2.0, "rlnAccuracyTranslationsAngst": 1.5,
            "rlnEstimatedResolution": 9.0, "rlnOverallFourierCompleteness": 1.0, "rlnClassPriorOffsetX": 0.0,
            "rlnClassPriorOffsetY": 0.0}),
        "model_groups": pd.DataFrame({"rlnGroupNumber": np.arange(1, 13), "rlnGroupName": [f"m{i}" for i in range(12)],
                                      "rlnGroupNrParticles": 30, "rlnGroupScaleCorrection": rng.permutation(12) / 12})})
    return {"particles": tmp_path / "run_it025_data.star", "model": tmp_path / "run_it025_model.star"}


def test_the_choice_is_left_for_relions_display(tmp_path: Path, classified: dict[str, Path]) -> None:
    out = choose(tmp_path, classified, classes=[7, 2])
    backup = read_star(out / "backup_selection.star")
    assert list(backup) == [""] and backup[""]["rlnSelected"].tolist() == [0, 1, 0, 0, 0, 0, 1]
    averages = read_star(out / "class_averages.star")[""]
    assert averages["rlnClassNumber"].tolist() == [2, 7]  # in the order of the model, as RELION's
    assert list(averages.columns) == [
        "rlnReferenceImage", "rlnClassDistribution", "rlnAccuracyRotations", "rlnAccuracyTranslationsAngst",
        "rlnEstimatedResolution", "rlnOverallFourierCompleteness", "rlnClassPriorOffsetX", "rlnClassPriorOffsetY",
        "rlnClassNumber"]


def test_a_choice_made_in_relion_is_not_written_over(tmp_path: Path, classified: dict[str, Path],
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    backup = choose(tmp_path, classified, classes=[7, 2]) / "backup_selection.star"
    write_star(backup, {"": pd.DataFrame({"rlnSelected": [1, 0, 0, 0, 0, 0, 0]})})
    choose(tmp_path, classified, classes=[7, 2])
    assert read_star(backup)[""]["rlnSelected"].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert "stays as it is" in capsys.readouterr().out


@pytest.mark.relion
def test_relion_reads_the_choice_and_the_averages(tmp_path: Path, classified: dict[str, Path], relion: Path) -> None:
    out = choose(tmp_path, classified, classes=[2, 7], recenter=True)
    read = {name: subprocess.run([relion / "relion_star_printtable", out / f"{name}.star", "data_", *labels],
                                 check=True, capture_output=True, text=True, timeout=60).stdout.split()
            for name, labels in (("backup_selection", ["_rlnSelected"]),
                                 ("class_averages", ["_rlnClassNumber", "_rlnReferenceImage"]))}
    assert read["backup_selection"] == list("0100001")
    assert read["class_averages"] == ["2", f"000001@{out}/class_averages.mrcs", "7",
                                      f"000002@{out}/class_averages.mrcs"]


@pytest.mark.relion
def test_relion_reads_regrouped_particles(tmp_path: Path, classified: dict[str, Path], relion: Path) -> None:
    out = choose(tmp_path, classified, classes=[1, 2], regroup=4)
    subprocess.run([relion / "relion_star_handler", "--i", out / "particles.star", "--o", "read.star", "--select",
                    "rlnOpticsGroup", "--minval", "2"], check=True, cwd=tmp_path, capture_output=True, timeout=60)
    ours, read = (read_star(path)["particles"] for path in (out / "particles.star", tmp_path / "read.star"))
    assert read["rlnGroupName"].tolist() == ours["rlnGroupName"][ours["rlnOpticsGroup"] == 2].tolist() != []


@pytest.mark.relion
def test_averages_are_centred_as_relion_does(tmp_path: Path, classified: dict[str, Path], relion: Path) -> None:
    out = choose(tmp_path, classified, classes=[2, 7], recenter=True)
    subprocess.run([relion / "relion_image_handler", "--i", tmp_path / "run_it025_classes.mrcs", "--o", "centred.mrcs",
                    "--shift_com"], check=True, cwd=tmp_path, capture_output=True, timeout=60)
    ours, theirs = read_mrc(out / "class_averages.mrcs")[0], read_mrc(tmp_path / "centred.mrcs")[0][[1, 6]]
    inside = np.s_[:, 6:-6, 6:-6]  # that program lets nothing in from the other side
    assert np.abs(ours - theirs)[inside].max() < 2 / 8 / 9  # it interpolates linearly: second derivatives over 8
    assert np.abs(read_mrc(tmp_path / "run_it025_classes.mrcs")[0][[1, 6]] - theirs)[inside].max() > 0.2
    assert read_star(out / "particles.star")["particles"]["rlnOriginXAngst"].tolist() == [
        origin for origin, number in zip(*(read_star(classified["particles"])["particles"][label]
                                           for label in ("rlnOriginXAngst", "rlnClassNumber")), strict=True)
        if number in (2, 7)]


def test_regrouped_by_scale_within_optics_groups(tmp_path: Path, classified: dict[str, Path]) -> None:
    before = read_star(choose(tmp_path, classified, classes=[1, 2]) / "particles.star")["particles"]
    after = read_star(choose(tmp_path, classified, classes=[1, 2], regroup=4) / "particles.star")["particles"]
    assert "rlnGroupNumber" not in after and len(after) == len(before)
    scale = read_star(classified["model"])["model_groups"].set_index("rlnGroupNumber")["rlnGroupScaleCorrection"]
    found = pd.DataFrame({"old": before["rlnGroupNumber"], "name": after["rlnGroupName"],
                          "optics": before["rlnOpticsGroup"], "scale": before["rlnGroupNumber"].map(scale)})
    assert (found.groupby("old")["name"].nunique() == 1).all()  # a group stays together
    assert (found.groupby("name")["optics"].nunique() == 1).all()
    for _, one in found.groupby("optics"):  # and new ones follow each other in scale
        spans = one.groupby("name")["scale"].agg(["min", "max"]).sort_values("min")
        assert (spans["max"].to_numpy()[:-1] < spans["min"].to_numpy()[1:]).all()
    assert found["name"].str.fullmatch(r"group_\d").all() and 3 <= found["name"].nunique() <= 7


def test_groups_by_hand(tmp_path: Path, classified: dict[str, Path]) -> None:
    """RELION's rule: what is one too many begins the next group, and is not counted in it."""
    rows = pd.DataFrame({"rlnGroupNumber": np.repeat([1, 2, 3, 4], [15, 10, 12, 13]), "rlnOpticsGroup": 1,
                         "rlnClassNumber": 1})
    write_star(classified["particles"], {"optics": OPTICS, "particles": rows})
    tables = read_star(classified["model"])
    groups = tables["model_groups"].assign(rlnGroupScaleCorrection=[0.9, 0.1, 0.5, 0.7] + [1.0] * 8)
    write_star(classified["model"], tables | {"model_groups": groups})
    found = read_star(choose(tmp_path, classified, classes=[1], regroup=2) / "particles.star")["particles"]
    by_old = dict(zip(rows["rlnGroupNumber"], found["rlnGroupName"], strict=True))  # 2, 3, 4, 1 by scale; mean 25
    assert by_old == {2: "group_1", 3: "group_1", 4: "group_2", 1: "group_2"}


def test_what_cannot_be_grouped_or_centred(tmp_path: Path, classified: dict[str, Path]) -> None:
    alone = {"particles": classified["particles"]}
    with pytest.raises(CryosnakeError, match=r"fewer than 10 in each; set regroup to \d+ or less"):
        choose(tmp_path, classified, classes=[7], regroup=9)
    with pytest.raises(CryosnakeError, match=r"regroup needs the classification's model\.star"):
        choose(tmp_path, alone, regroup=3)
    with pytest.raises(CryosnakeError, match="recenter needs the class averages"):
        choose(tmp_path, alone, recenter=True)
    tables = read_star(classified["model"])
    write_star(classified["model"], tables | {"model_groups": tables["model_groups"].iloc[:3]})
    with pytest.raises(CryosnakeError, match=r"has no group 4, but .* has particles of it"):
        choose(tmp_path, classified, regroup=3)


@pytest.mark.data
def test_averages_are_those_that_relions_display_centred(tmp_path: Path, real_data: Path) -> None:
    """A Select job of RELION 2, with its choice and its averages, from a 2D classification of β-galactosidase."""
    project = real_data / "relion20_bgal_falcon"
    model = read_star(project / "Class2D/job006/run_it025_model.star")
    classes = model["model_classes"]
    classes["rlnReferenceImage"] = [name.replace("@", f"@{project}/") for name in classes["rlnReferenceImage"]]
    write_star(tmp_path / "run_it025_model.star", model)
    theirs = project / "Select/job007"
    chosen = np.flatnonzero(read_star(theirs / "backup_selection.star")[""]["rlnSelected"]) + 1
    write_class_averages(str(tmp_path / "run_it025_model.star"), chosen.tolist(), tmp_path, recenter=True)
    assert read_star(tmp_path / "class_averages.star")[""]["rlnClassNumber"].tolist() == (
        read_star(theirs / "class_averages.star")[""]["rlnClassNumber"].tolist())
    ours, expected = read_mrc(tmp_path / "class_averages.mrcs")[0], read_mrc(theirs / "class_averages.mrcs")[0]
    before = read_images(classes["rlnReferenceImage"].iloc[chosen - 1].tolist())
    assert min(map(same, ours, expected)) > 0.9999 and max(map(same, before, expected)) < 0.996


def same(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
