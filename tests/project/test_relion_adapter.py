"""What RELION reads of a job of ours: its label in full, nodes with a type, options with which it can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosnake.io.mrc import write_mrc
from cryosnake.jobs.model import NODE_TYPES
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.job_star import read_job_star
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.run.commit import commit

PICK = {"type": "autopick", "micrographs": "micrographs.star", "diameter": [100, 120]}
SELECT = {"type": "select", "particles": "particles.star"}
REFINE = {"type": "refine3d", "particles": "particles.star", "reference": "map.mrc", "particle_diameter": 100}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("micrographs", "particles"):
        Path(f"{name}.star").write_text(f"data_{name}\n\nloop_\n_rlnOpticsGroup #1\n1\n")
    write_mrc("map.mrc", np.zeros((8, 8, 8), np.float32), 2.0)
    write_mrc("averages.mrcs", np.zeros((2, 8, 8), np.float32), 2.0, stack=True)


def committed(**body: Any) -> str:
    """Plan one job and write it into the project; return its directory."""
    plan = make_plan(parse_config({"jobs": {"one": body}}))
    commit(plan)
    return plan.jobs["one"].path


@pytest.mark.parametrize(("body", "label"), [
    (PICK, "relion.autopick.log"),
    (PICK | {"method": "template", "references": "averages.mrcs"}, "relion.autopick.ref2d"),
    (PICK | {"method": "template", "reference": "map.mrc"}, "relion.autopick.ref3d"),
    (SELECT | {"label": "rlnDefocusU", "minimum": 1}, "relion.select.onvalue"),
    (SELECT | {"duplicate_distance": 20}, "relion.select.removeduplicates"),
    (SELECT | {"split_count": 2}, "relion.select.split"),
    (SELECT | {"split_size": 10}, "relion.select.split"),
    (SELECT | {"discard_sigma": 4}, "relion.select.discard"),
    (SELECT | {"minimum_score": 0.5, "model": "model.star"}, "relion.select.class2dauto"),
    (SELECT | {"classes": [1]}, "relion.select.interactive"),
    ({"type": "extract", "micrographs": "micrographs.star", "particles": "particles.star", "box_size": 64},
     "relion.extract.reextract"),
    (REFINE, "relion.refine3d"),
])
def test_labels_are_in_full(body: dict[str, Any], label: str) -> None:
    Path("model.star").write_text("data_model_classes\n\nloop_\n_rlnReferenceImage #1\n1@averages.mrcs\n")
    path = committed(**body)
    assert read_job_star(Path(path, "job.star")).type_label == label
    pipeline = read_pipeline("default_pipeline.star")
    assert pipeline.processes[f"{path}/"].type_label == label
    assert all(node.type_label for node in pipeline.nodes.values())


@pytest.mark.parametrize(("more", "files"), [
    ({"classes": [1]}, {"fn_model": "model.star", "fn_data": "", "do_recenter": "No", "do_regroup": "No"}),
    ({"classes": [1], "recenter": True, "regroup": 30},
     {"fn_model": "model.star", "fn_data": "", "do_recenter": "Yes", "do_regroup": "Yes", "nr_groups": "30"}),
    ({"label": "rlnDefocusU", "minimum": 1}, {"fn_model": "", "fn_data": "particles.star", "do_select_values": "Yes"}),
    ({"split_count": 2}, {"fn_model": "", "fn_data": "particles.star", "do_split": "Yes", "nr_split": "2"}),
])
def test_select_gives_relion_classes_or_rows(more: dict[str, Any], files: dict[str, str]) -> None:
    """RELION chooses classes of a model and its particles, or rows of a table by values: it refuses both at once."""
    Path("model.star").write_text("data_model_classes\n\nloop_\n_rlnReferenceImage #1\n1@averages.mrcs\n")
    options = read_job_star(Path(committed(**SELECT, model="model.star", **more), "job.star")).options
    assert {name: options[name] for name in files} == files


def test_relions_class_ranker_takes_the_optimiser() -> None:
    jobs = {"classes": {"type": "class2d", "particles": "particles.star", "particle_diameter": 90, "iterations": 9},
            "good": {"type": "select", "particles": "classes", "model": "classes", "minimum_score": 0.5}}
    plan = make_plan(parse_config({"jobs": jobs}))
    commit(plan)
    options = read_job_star(Path(plan.jobs["good"].path, "job.star")).options
    assert options["fn_model"] == f"{plan.jobs['classes'].path}/run_it009_optimiser.star" and options["fn_data"] == ""



def test_every_node_type_has_a_label() -> None:
    assert [node.name for node in NODE_TYPES if not node.label] == []


@pytest.mark.parametrize(("ranks", "in_relion"), [(1, 3), (2, 3), (4, 5), (6, 7), (3, 5)])
def test_a_refinement_has_as_many_processes_as_relion_needs(ranks: int, in_relion: int) -> None:
    """An odd number, of at least three: one leads, the others share the two halves."""
    options = read_job_star(Path(committed(**REFINE, mpi_ranks=ranks), "job.star")).options
    assert options["nr_mpi"] == str(in_relion)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_classification_has_the_ranks_of_the_config(ranks: int) -> None:
    path = committed(type="class2d", particles="particles.star", particle_diameter=100, mpi_ranks=ranks)
    assert read_job_star(Path(path, "job.star")).options["nr_mpi"] == str(ranks)


@pytest.mark.parametrize(("slot", "label"), [("particles", "rlnImageName"), ("micrographs", "rlnMicrographName")])
def test_statistics_are_of_the_images_of_the_input(slot: str, label: str) -> None:
    path = committed(type="select", **{slot: f"{slot}.star"}, discard_sigma=4)
    assert read_job_star(Path(path, "job.star")).options["discard_label"] == label
