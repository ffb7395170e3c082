from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.select import JOB
from cryosnake.programs.select import select
from cryosnake.report import job_pictures
from cryosnake.report.job_pictures import draw_pictures

OPTICS = pd.DataFrame({
    "rlnOpticsGroupName": ["og1"], "rlnOpticsGroup": [1], "rlnMicrographOriginalPixelSize": [1.5],
    "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1],
    "rlnImagePixelSize": [3.0], "rlnImageSize": [16],
    "rlnImageDimensionality": [2]})


def particles(count: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    micrograph = rng.integers(0, 3, count)
    return pd.DataFrame({
        "rlnCoordinateX": rng.uniform(0, 600, count).round(3), "rlnCoordinateY": rng.uniform(0, 600, count).round(3),
        "rlnImageName": [f"{i + 1:06d}@Extract/job002/m{m}.mrcs" for i, m in enumerate(micrograph)],
        "rlnMicrographName": [f"MotionCorr/job003/m{m}.mrc" for m in micrograph], "rlnOpticsGroup": 1,
        "rlnDefocusU": rng.uniform(8000, 16000, count).round(2), "rlnOriginXAngst": rng.normal(0, 10, count).round(3),
        "rlnOriginYAngst": rng.normal(0, 10, count).round(3), "rlnClassNumber": rng.choice([1, 2, 3, 7], count,
                                                                                          p=[0.5, 0.3, 0.15, 0.05])})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_star(tmp_path / "in.star", {"optics": OPTICS, "particles": particles()})
    return tmp_path / "in.star"


def choose(tmp_path: Path, inputs: dict[str, Path], **options: Any) -> Path:
    out = tmp_path / "Select"
    out.mkdir(exist_ok=True)
    chosen = JOB.options(**options)
    select.run(chosen, inputs, out, lambda *_: None)
    return out


def names(path: Path) -> list[str]:
    return list(read_star(path)["particles"]["rlnImageName"])


def relion_names(relion: Path, source: Path, folder: Path, *words: Any) -> list[str]:
    subprocess.run([str(w) for w in (relion / "relion_star_handler", "--i", source, "--o", folder / "r.star", *words)],
                   check=True, capture_output=True, timeout=60)
    return names(folder / "r.star")


def test_by_value_keeps_both_limits(tmp_path: Path, source: Path) -> None:
    table = read_star(source)["particles"]
    low, high = np.sort(table["rlnDefocusU"])[[20, 80]]
    out = choose(tmp_path, {"particles": source}, label="rlnDefocusU", minimum=low, maximum=high)
    kept = read_star(out / "particles.star")
    assert len(kept["particles"]) == 61
    assert kept["optics"].equals(read_star(source)["optics"])
    assert list(kept["particles"].columns) == list(table.columns)


def test_one_open_limit(tmp_path: Path, source: Path) -> None:
    out = choose(tmp_path, {"particles": source}, label="rlnDefocusU", minimum=15000.0)
    table = read_star(out / "particles.star")["particles"]
    assert 0 < len(table) < 100 and table["rlnDefocusU"].min() >= 15000


def test_by_class(tmp_path: Path, source: Path) -> None:
    out = choose(tmp_path, {"particles": source}, classes=[7, 2])
    assert set(read_star(out / "particles.star")["particles"]["rlnClassNumber"]) == {2, 7}


def test_minimal_class_size(tmp_path: Path, source: Path) -> None:
    out = choose(tmp_path, {"particles": source}, minimal_class_size=40)
    assert set(read_star(out / "particles.star")["particles"]["rlnClassNumber"]) == {1, 2, 3}


def test_class_averages_of_the_chosen_classes(tmp_path: Path, source: Path) -> None:
    stack = np.arange(7, dtype=np.float32)[:, None, None] * np.ones((1, 8, 8), np.float32) + np.eye(8)
    write_mrc(tmp_path / "run_it025_classes.mrcs", stack, 3.0, stack=True)
    references = [f"{i:06d}@{tmp_path}/run_it025_classes.mrcs" for i in range(1, 8)]
    write_star(tmp_path / "run_it025_model.star", {
        "model_general": {"rlnNrClasses": 7}, "model_classes": pd.DataFrame(
            {"rlnReferenceImage": references, "rlnClassDistribution": np.linspace(0, 1, 7)})})
    out = choose(tmp_path, {"particles": source, "model": tmp_path / "run_it025_model.star"}, classes=[2, 7])
    averages = read_star(out / "class_averages.star")[""]
    assert averages["rlnClassNumber"].tolist() == [2, 7]
    assert averages["rlnReferenceImage"][1] == f"000002@{out}/class_averages.mrcs"
    written, pixel_size = read_mrc(out / "class_averages.mrcs")
    assert np.array_equal(written, stack[[1, 6]]) and pixel_size == pytest.approx(3.0)


@pytest.fixture
def ranked(tmp_path: Path) -> Path:
    """A model.star of seven classes with scores, as the last iteration of Class2D leaves it."""
    stack = np.random.default_rng(0).normal(size=(7, 8, 8)).astype(np.float32)
    write_mrc(tmp_path / "run_it025_classes.mrcs", stack, 3.0, stack=True)
    score = [0.9, 0.8, 0.2, 0.0, 0.0, 0.0, 0.6]
    write_star(tmp_path / "run_it025_model.star", {
        "model_general": {"rlnNrClasses": 7},
        "model_classes": pd.DataFrame({
            "rlnReferenceImage": [f"{i:06d}@{tmp_path}/run_it025_classes.mrcs" for i in range(1, 8)],
            "rlnClassDistribution": np.full(7, 1 / 7), "rlnEstimatedResolution": np.linspace(10, 40, 7),
            "rlnClassScore": score}),
        "class_ranking": pd.DataFrame({"rlnClassNumber": np.arange(1, 8), "cryosnakeReason": [
            "None", "None", "blurred beside the others", *["too few particles"] * 3, "None"]})})
    return tmp_path / "run_it025_model.star"


def test_junk_classes_go_and_the_table_says_why(tmp_path: Path, source: Path, ranked: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    out = choose(tmp_path, {"particles": source, "model": ranked}, minimum_score=0.5)
    assert set(read_star(out / "particles.star")["particles"]["rlnClassNumber"]) == {1, 2, 7}
    table = read_star(out / "class_selection.star")["class_selection"]
    counts = np.bincount(particles()["rlnClassNumber"], minlength=8)[1:]
    assert table["rlnSelected"].tolist() == [1, 1, 0, 0, 0, 0, 1]
    assert table["cryosnakeParticles"].tolist() == counts.tolist()
    assert table["cryosnakeReason"][2] == "blurred beside the others" and table["cryosnakeReason"][3] == "empty"
    draw_pictures(JOB.panels, out, {})
    assert "could not be drawn" not in capsys.readouterr().err
    assert (out / "class_selection.png").stat().st_size > 1000
    assert len(read_mrc(out / "class_averages.mrcs")[0]) == 3


def test_scores_and_numbers_are_both_asked(tmp_path: Path, source: Path, ranked: Path) -> None:
    out = choose(tmp_path, {"particles": source, "model": ranked}, minimum_score=0.5, classes=[2, 3])
    assert set(read_star(out / "particles.star")["particles"]["rlnClassNumber"]) == {2}


def test_scores_that_are_missing_or_too_low_are_explained(tmp_path: Path, source: Path, ranked: Path) -> None:
    with pytest.raises(CryosnakeError, match=r"no class scores 0.95; the best of 4 has 0.90"):
        choose(tmp_path, {"particles": source, "model": ranked}, minimum_score=0.95)
    with pytest.raises(CryosnakeError, match=r"connect model"):
        choose(tmp_path, {"particles": source}, minimum_score=0.5)
    tables = read_star(ranked)
    write_star(ranked, tables | {"model_classes": tables["model_classes"].drop(columns="rlnClassScore")})
    with pytest.raises(CryosnakeError, match=r"has no rlnClassScore"):
        choose(tmp_path, {"particles": source, "model": ranked}, minimum_score=0.5)


def test_particles_that_slid_away_go(tmp_path: Path, source: Path) -> None:
    out = choose(tmp_path, {"particles": source}, maximum_shift=12.0)
    kept, every = read_star(out / "particles.star")["particles"], particles()
    near = np.hypot(every["rlnOriginXAngst"], every["rlnOriginYAngst"]) <= 12.0
    assert kept["rlnImageName"].tolist() == every["rlnImageName"][near].tolist() and 0 < near.sum() < 300


def test_particles_that_score_less_than_their_class_are_left_out(tmp_path: Path, capsys: Any,
                                                                   monkeypatch: Any) -> None:
    table, score = particles(60), [0.9, 0.2, 0.9, 0, 0, 0, 0.9]
    table["cryosnakeParticleScore"] = np.linspace(0.0, 1.0, 60)
    write_star(tmp_path / "in.star", {"optics": OPTICS, "particles": table})
    write_star(tmp_path / "bare.star", {"optics": OPTICS,
                                        "particles": table.drop(columns="cryosnakeParticleScore")})
    write_mrc(tmp_path / "classes.mrcs", np.zeros((7, 8, 8), np.float32), 3.0, stack=True)
    write_star(tmp_path / "model.star", {"model_classes": pd.DataFrame({
        "rlnReferenceImage": [f"{k:06d}@{tmp_path}/classes.mrcs" for k in range(1, 8)], "rlnClassScore": score,
        "rlnEstimatedResolution": 10.0})})

    def kept(name: str, **changed: Any) -> list[str]:
        inputs = {"particles": tmp_path / name, "model": tmp_path / "model.star"}
        return names(choose(tmp_path, inputs, minimum_score=0.5, **changed) / "particles.star")

    good, high = table["rlnClassNumber"] != 2, table["cryosnakeParticleScore"] >= 0.5
    near, figures = table["rlnDefocusU"] >= 12000, {}
    monkeypatch.setattr(job_pictures, "class_montage", lambda *_, **more: figures.update(more))
    for both, changed in ((good & high, {}), (good, {"particle_scores": False}),
                          (good & high & near, {"label": "rlnDefocusU", "minimum": 12000.0})):
        assert kept("in.star", **changed) == list(table["rlnImageName"][both])
        job_pictures._class_selection(tmp_path / "Select", {})
        selection = read_star(tmp_path / "Select/class_selection.star")["class_selection"]
        assert selection["cryosnakeParticlesKept"].sum() == both.sum() == figures["passed"]
        assert f"class_selection.star: {both.sum()} of 60 particles kept, in 3 classes" in capsys.readouterr().out
    assert kept("bare.star") == list(table["rlnImageName"][good])
    assert "by classes alone" in capsys.readouterr().out


def test_of_near_particles_the_last_is_kept(tmp_path: Path) -> None:
    table = particles(4)
    table["rlnMicrographName"] = ["a", "a", "a", "b"]
    table[["rlnCoordinateX", "rlnCoordinateY"]] = [[100, 100], [104, 100], [200, 100], [100, 100]]
    table[["rlnOriginXAngst", "rlnOriginYAngst"]] = [[0, 0], [0, 0], [140, 0], [0, 0]]
    write_star(tmp_path / "in.star", {"optics": OPTICS, "particles": table})
    # In Å: 150, 156, 300 − 140 = 160 on micrograph a.
    out = choose(tmp_path, {"particles": tmp_path / "in.star"}, duplicate_distance=5.0)
    assert names(out / "particles.star") == list(table["rlnImageName"][[0, 2, 3]])
    out = choose(tmp_path, {"particles": tmp_path / "in.star"}, duplicate_distance=5.0, pixel_size=0.5)
    assert len(names(out / "particles.star")) == 3  # 50, 52, −40


def test_near_particles_of_a_movie_are_found_in_any_spelling_and_job(tmp_path: Path) -> None:
    table = particles(4)
    table["rlnMicrographName"] = ["MotionCorr/job002/Movies/a.mrc", "./MotionCorr/job002/Movies/a.mrc",
                                  "MotionCorr/job007/Movies/a.mrc", "MotionCorr/job007/Movies/b.mrc"]
    table[["rlnCoordinateX", "rlnCoordinateY"]] = 100
    table[["rlnOriginXAngst", "rlnOriginYAngst"]] = 0
    write_star(tmp_path / "in.star", {"optics": OPTICS, "particles": table})
    out = choose(tmp_path, {"particles": tmp_path / "in.star"}, duplicate_distance=5.0)
    assert names(out / "particles.star") == list(table["rlnImageName"][[2, 3]])


def test_parts(tmp_path: Path, source: Path) -> None:
    out = choose(tmp_path, {"particles": source}, split_count=7)
    parts = [names(out / f"particles_split{number}.star") for number in range(1, 8)]
    assert [len(part) for part in parts] == [43] * 6 + [42]
    assert [name for part in parts for name in part] == names(source)
    assert not (out / "particles_split8.star").exists()


def test_random_parts_hold_everything_once_and_repeat(tmp_path: Path, source: Path) -> None:
    def parts(seed: int) -> list[list[str]]:
        out = choose(tmp_path, {"particles": source}, split_count=2, random_order=True, random_seed=seed)
        return [names(out / f"particles_split{number}.star") for number in (1, 2)]

    first = parts(1)
    both = first[0] + first[1]
    assert sorted(both) == sorted(names(source)) and both != names(source)
    assert parts(1) == first and parts(2) != first


def test_parts_of_a_size(tmp_path: Path, source: Path) -> None:
    out = choose(tmp_path, {"particles": source}, split_size=140)
    assert [len(names(out / f"particles_split{n}.star")) for n in (1, 2, 3)] == [140, 140, 20]


def test_odd_images_are_discarded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, (60, 16, 16)).astype(np.float32)
    images[7] += 5.0
    images[30] *= 6.0
    write_mrc(tmp_path / "m.mrcs", images, 3.0, stack=True)
    table = particles(60)
    table["rlnImageName"] = [f"{i + 1:06d}@{tmp_path}/m.mrcs" for i in range(60)]
    write_star(tmp_path / "in.star", {"optics": OPTICS, "particles": table})
    out = choose(tmp_path, {"particles": tmp_path / "in.star"}, discard_sigma=4.0)
    assert set(table["rlnImageName"]) - set(names(out / "particles.star")) == set(table["rlnImageName"][[7, 30]])


def test_micrographs(tmp_path: Path) -> None:
    table = pd.DataFrame({"rlnMicrographName": [f"m{i}.mrc" for i in range(5)], "rlnOpticsGroup": 1,
                          "rlnCtfMaxResolution": [4.0, 9.0, 3.5, 5.0, 12.0]})
    write_star(tmp_path / "mics.star", {"optics": OPTICS, "micrographs": table})
    out = choose(tmp_path, {"micrographs": tmp_path / "mics.star"}, label="rlnCtfMaxResolution", maximum=5.0)
    kept = read_star(out / "micrographs.star")["micrographs"]
    assert kept["rlnMicrographName"].tolist() == ["m0.mrc", "m2.mrc", "m3.mrc"]


def test_rows_without_a_number_are_left_out_by_value_and_counted(tmp_path: Path, capsys: Any) -> None:
    table = pd.DataFrame({"rlnMicrographName": [f"m{i}.mrc" for i in range(6)], "rlnOpticsGroup": 1,
                          "rlnCtfMaxResolution": ["4.0", "None", "3.5", "nan", "N/A", "12"]})
    write_star(tmp_path / "mics.star", {"optics": OPTICS, "micrographs": table})
    out = choose(tmp_path, {"micrographs": tmp_path / "mics.star"}, label="rlnCtfMaxResolution", maximum=5.0)
    assert read_star(out / "micrographs.star")["micrographs"]["rlnMicrographName"].tolist() == ["m0.mrc", "m2.mrc"]
    assert "rlnCtfMaxResolution has no number in 3 of 6 rows, which are left out" in capsys.readouterr().out


@pytest.mark.parametrize(("label", "found", "options", "message"), [
    ("rlnClassNumber", "None", {"classes": [1]}, "rlnClassNumber is not a number in 1 row.*row 3 .*None"),
    ("rlnCoordinateX", "12,5", {"duplicate_distance": 20.0}, "rlnCoordinateX is not a number in 1 row.*12,5"),
    ("rlnOriginXAngst", "inf", {"maximum_shift": 20.0}, "rlnOriginXAngst is not a number in 1 row"),
    ("rlnOpticsGroup", "og1", {"duplicate_distance": 20.0}, "rlnOpticsGroup is not a number .*row 3 of data_particles"),
])
def test_fields_that_are_no_numbers_are_named(tmp_path: Path, label: str, found: str, options: dict[str, Any],
                                              message: str) -> None:
    table = particles().astype({label: str})
    table.loc[2, label] = found
    write_star(tmp_path / "bad.star", {"optics": OPTICS, "particles": table})
    with pytest.raises(CryosnakeError, match=rf"bad\.star: {message}"):
        choose(tmp_path, {"particles": tmp_path / "bad.star"}, **options)


@pytest.mark.parametrize(("options", "message"), [
    ({"label": "rlnNotThere", "minimum": 0.0}, "no column rlnNotThere"),
    ({"label": "rlnImageName", "minimum": 0.0}, "contains text"),
    ({"label": "rlnDefocusU"}, "set minimum, maximum"),
    ({"label": "rlnDefocusU", "minimum": 1e6}, "keeps none of 300"),
    ({"classes": [5]}, "no particles in class 5"),
    ({"minimal_class_size": 1000}, "lower minimal_class_size"),
    ({"split_count": 301}, "lower split_count"),
    ({"discard_sigma": 3.0}, "job002"),
])
def test_bad_choices_are_explained(tmp_path: Path, source: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CryosnakeError, match=message):
        choose(tmp_path, {"particles": source}, **options)


def test_bad_inputs_are_explained(tmp_path: Path, source: Path) -> None:
    with pytest.raises(CryosnakeError, match="neither is given"):
        choose(tmp_path, {})
    with pytest.raises(CryosnakeError, match="both are given"):
        choose(tmp_path, {"particles": source, "micrographs": source})
    with pytest.raises(CryosnakeError, match="no block data_micrographs"):
        choose(tmp_path, {"micrographs": source})
    write_star(tmp_path / "bare.star", {"particles": particles().drop(columns="rlnOpticsGroup")})
    with pytest.raises(CryosnakeError, match="pixel size of its micrographs"):
        choose(tmp_path, {"particles": tmp_path / "bare.star"}, duplicate_distance=30.0)


@pytest.mark.relion
def test_same_rows_as_relion_by_value(tmp_path: Path, source: Path, relion: Path) -> None:
    out = choose(tmp_path, {"particles": source}, label="rlnDefocusU", minimum=10000.0, maximum=12000.0)
    expected = relion_names(relion, source, tmp_path, "--select", "rlnDefocusU", "--minval", 10000, "--maxval", 12000)
    assert 0 < len(expected) < 300 and names(out / "particles.star") == expected


@pytest.mark.relion
@pytest.mark.parametrize("distance", [20.0, 60.0])
def test_same_rows_as_relion_without_duplicates(tmp_path: Path, source: Path, relion: Path, distance: float) -> None:
    out = choose(tmp_path, {"particles": source}, duplicate_distance=distance)
    expected = relion_names(relion, source, tmp_path, "--remove_duplicates", distance, "--image_angpix", 1.5)
    assert len(expected) < 300 and sorted(names(out / "particles.star")) == sorted(expected)


@pytest.mark.relion
@pytest.mark.parametrize("options", [{"split_count": 7}, {"split_size": 90}, {"split_count": 2, "split_size": 50}])
def test_same_parts_as_relion(tmp_path: Path, source: Path, relion: Path, options: dict[str, int]) -> None:
    out = choose(tmp_path, {"particles": source}, **options)
    words = [word for key, value in options.items() for word in (f"--{'nr_split' if 'count' in key else 'size_split'}",
                                                                 str(value))]
    (tmp_path / "r").mkdir()
    subprocess.run([str(relion / "relion_star_handler"), "--i", str(source), "--o", "r/particles.star", "--split",
                    *words], cwd=tmp_path, capture_output=True, timeout=60, check=False)  # stops after writing them
    ours, theirs = (sorted(folder.glob("particles_split*.star")) for folder in (out, tmp_path / "r"))
    assert [path.name for path in ours] == [path.name for path in theirs] and len(ours) >= 2
    assert [names(path) for path in ours] == [names(path) for path in theirs]


@pytest.mark.relion
@pytest.mark.data
def test_same_images_as_relion_on_statistics(tmp_path: Path, real_data: Path, relion: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    write_mrc(tmp_path / "m.mrcs", read_mrc(real_data / "bgal_k2_particles/Extract/job009/Movies"
                                            / "20170629_00021_frameImage.mrcs")[0], 3.54, stack=True)
    count = len(read_mrc(tmp_path / "m.mrcs")[0])
    monkeypatch.chdir(tmp_path)
    table = particles(count)
    table["rlnImageName"] = [f"{i + 1:06d}@m.mrcs" for i in range(count)]
    write_star(tmp_path / "in.star", {"optics": OPTICS, "particles": table})
    out = choose(tmp_path, {"particles": tmp_path / "in.star"}, discard_sigma=2.0)
    expected = relion_names(relion, tmp_path / "in.star", tmp_path, "--discard_on_stats", "--discard_sigma", 2.0)
    assert len(expected) < count and names(out / "particles.star") == expected
