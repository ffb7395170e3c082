"""Choosing classes in the browser: what the page shows, and what it writes."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest
from shown_project import make_project, write_star
from web_client import EDITING, client, project_address

from cryosnake.io.mrc_writer import write_mrc
from cryosnake.pipeline.edit import add_process
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline, write_pipeline
from cryosnake.pipeline.job_star import write_job_star
from cryosnake.pipeline.model import Process, Status


def test_classes_are_chosen_as_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(10)
    Path("config.yaml").write_text("jobs:\n  good: {type: select, particles: Class2D/job006/run_it025_data.star, "
                                   "classes: choose}\n")
    Path("m").mkdir()
    own = {"origin": "http://127.0.0.1:1"}
    shown = client(tmp_path)
    at = project_address(shown)
    text = shown.get(f"{at}/choose/good").text
    assert "waits for this choice" in text and "Choose these" not in text
    assert shown.post(f"{at}/choose/good", headers=own).status_code == 405
    opened = client(tmp_path, access=EDITING)
    text = opened.get(f"{at}/choose/good").text
    digest = text.partition('name="digest" value="')[2].partition('"')[0]
    form = {"digest": digest, "before": "", "class": ["2", "7"]}
    stale = opened.post(f"{at}/choose/good", data=form | {"digest": "another"}, headers=own)
    assert stale.status_code == 409 and "Nothing was written" in stale.text and not Path("decisions").exists()
    for wrong in ("0", "99", "two", "-1"):
        assert opened.post(f"{at}/choose/good", data=form | {"class": [wrong]}, headers=own).status_code == 409
    assert not Path("decisions").exists()
    assert opened.post(f"{at}/choose/good", data=form, headers=own).status_code == 303
    assert "classes: [2, 7]" in Path("decisions/good.yaml").read_text()
    second = opened.post(f"{at}/choose/good", data=form | {"class": ["3"]}, headers=own)  # of another tab
    assert second.status_code == 409 and "somebody else" in second.text
    assert opened.post(f"{at}/choose/good", content=b"x" * 200_000, headers=own).status_code == 413


def test_settings_and_a_choice_of_relion_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(10)
    of = "Class2D/job006/run_it025"
    Path("config.yaml").write_text(f"jobs:\n  good:  # by eye\n    type: select\n    particles: {of}_data.star\n"
                                   f"    model: {of}_model.star\n    classes: choose\n")
    theirs = Path("Select/job011")
    theirs.mkdir(parents=True)
    write_job_star(theirs / "job.star", 7, "relion.select.interactive", False, {"fn_model": f"{of}_optimiser.star"})
    write_star(theirs / "backup_selection.star", {"": {"rlnSelected": [0, 1, 0, 0, 1, *[0] * 7]}})
    write_pipeline(PIPELINE_FILE, add_process(read_pipeline(PIPELINE_FILE), Process(
        f"{theirs}/", "", "relion.select.interactive", 7, status=Status.SUCCEEDED)))
    own, opened = {"origin": "http://127.0.0.1:1"}, client(tmp_path, access=EDITING)
    at = project_address(opened)
    assert "Chosen in RELION, Select/job011: 2, 5." in opened.get(f"{at}/choose/good").text
    text = opened.get(f"{at}/choose/good?from=Select/job011").text
    assert re.findall(r'value="(\d+)" checked', text) in (["2", "5"], ["5", "2"]) and not Path("decisions").exists()
    hidden = {name: html.unescape(value)
              for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text)}
    form = hidden | {"class": ["2", "5"], "recenter": "on", "regroup": "on", "groups": "40"}
    assert opened.post(f"{at}/choose/good", data=form | {"groups": "many"}, headers=own).status_code == 409
    assert opened.post(f"{at}/choose/good", data=form, headers=own).status_code == 303
    assert Path("config.yaml").read_text().endswith("classes: choose\n    recenter: true\n    regroup: 40\n")
    assert "classes: [2, 5]" in Path("decisions/good.yaml").read_text()
    stale = opened.post(f"{at}/choose/good", data=form | {"before": "2,5", "class": ["3"]}, headers=own)
    assert stale.status_code == 409 and "Nothing was written" in stale.text  # its stamp is of the settings before
    closer = opened.get(f"{at}/class/good?number=5").text
    assert f"{of}_classes.mrcs?section=4&amp;sigma=0&amp;side=768" in closer
    assert opened.get(f"{at}/class/good?number=13").status_code == 404


def test_one_class_of_a_3d_classification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    of, rng = Path("Class3D/job001"), np.random.default_rng(0)
    of.mkdir(parents=True)
    shells = np.arange(9)
    classes = {f"model_class_{n}": {"rlnSpectralIndex": shells, "rlnResolution": shells / 48,
                                    "rlnSsnrMap": 100.0 / (1 + shells) ** 2} for n in (1, 2)}
    write_star(of / "run_it025_model.star", {"model_general": {"rlnCurrentResolution": 9.0}, "model_classes": {
        "rlnReferenceImage": [f"{of}/run_it025_class{n:03d}.mrc" for n in (1, 2)], "rlnClassDistribution": [0.75, 0.25],
        "rlnEstimatedResolution": [9.0, 12.0]}} | classes)
    write_star(of / "run_it025_data.star", {"particles": {"rlnClassNumber": rng.integers(1, 3, 40), "rlnAngleRot":
               rng.uniform(-180, 180, 40), "rlnAngleTilt": rng.uniform(0, 180, 40)}})
    for n in (1, 2):
        write_mrc(of / f"run_it025_class{n:03d}.mrc", rng.random((16, 16, 16)).astype(np.float32) ** 9, 3.0)
    Path("config.yaml").write_text(f"jobs:\n  good: {{type: select, particles: {of}/run_it025_data.star, model: "
                                   f"{of}/run_it025_model.star, classes: choose}}\n")
    opened = client(tmp_path)
    at = project_address(opened)
    text = opened.get(f"{at}/choose/good").text
    assert f"{of}/run_it025_class002.mrc?section=8" in text and 'name="regroup"' in text
    assert 'name="recenter"' not in text  # maps are not moved
    text = opened.get(f"{at}/class/good?number=2").text
    for words in ('data-map="map2"', "Central slices", "signal / (signal + noise)", "Viewing directions"):
        assert words in text
    write_mrc(of / "run_it025_class002.mrc", np.zeros((16, 16, 16), np.float32), 3.0)
    text = opened.get(f"{at}/class/good?number=2").text
    assert "data-map" not in text and "Viewing directions" in text
