"""Lists in slots: the joins that they make, in config, plan, pipeline and flowchart, and when these are made anew."""

from __future__ import annotations

import copy
import os
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star, read_table, write_star
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.job_star import read_job_star
from cryosnake.project.actions.job_actions import give_alias
from cryosnake.project.config.config import Config, ConfigError, parse_config
from cryosnake.project.config.lines import line_of
from cryosnake.project.planning.growth import row_count
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Disposition, Plan
from cryosnake.project.planning.rule_values import arguments
from cryosnake.project.run.commit import commit
from cryosnake.report.flowchart.chart import layout
from cryosnake.running import run as running
from cryosnake.running.run import run_job

CLASSES = {"type": "class2d", "particle_diameter": 20, "classes": 2, "iterations": 1}
SELECT = {"type": "select", "label": "rlnDefocusU", "minimum": 0}
JOBS: dict[str, Any] = {
    "first": SELECT | {"particles": "a.star"}, "second": SELECT | {"particles": "b.star"},
    "classes": CLASSES | {"particles": ["first", "second"]},
    "others": CLASSES | {"particles": ["first.particles", "second"], "classes": 3}}


def parsed(**jobs: Any) -> Config:
    return parse_config({"jobs": JOBS | jobs})


def inputs_of(config: Config, name: str) -> list[str]:
    return [connection.job or connection.path for connection in config.jobs[name].connections.values()]


def test_a_list_is_a_job_and_whoever_asks_for_it_again_gets_that_job() -> None:
    config = parsed()
    assert list(config.jobs) == ["first", "second", "classes_particles", "classes", "others"]
    assert config.jobs["classes_particles"].type.name == "joinstar"
    assert inputs_of(config, "classes_particles") == ["first", "second"]
    assert inputs_of(config, "classes") == inputs_of(config, "others") == ["classes_particles"]


def test_a_join_of_the_config_is_taken_for_its_list_and_another_order_is_another_list() -> None:
    config = parsed(both={"type": "joinstar", "particles": ["first", "second"], "duplicates": "keep_first"},
                    turned=CLASSES | {"particles": ["second", "first"]})
    assert inputs_of(config, "classes") == inputs_of(config, "others") == ["both"]
    assert inputs_of(config, "turned") == ["turned_particles"]


def test_the_example_joins_two_sessions_after_extraction(root: Path) -> None:
    config = parse_config(yaml.safe_load((root / "examples/two_sessions.yaml").read_text()))
    joins = {job.name: inputs_of(config, job.name) for job in config.jobs.values() if job.type.name == "joinstar"}
    assert joins == {"classes_particles": ["cut1", "cut2"]}


def test_a_list_of_one_is_that_one_and_a_long_one_is_joined_in_steps() -> None:
    config = parsed(one=CLASSES | {"particles": ["first"], "classes": 4},
                    many=CLASSES | {"particles": ["first", "second", "c.star", "d.star", "e.star", "f.star"]})
    assert inputs_of(config, "one") == ["first"]
    assert inputs_of(config, "many_particles") == ["many_particles_particles", "d.star", "e.star", "f.star"]
    assert inputs_of(config, "many_particles_particles") == ["first", "second", "c.star"]


@pytest.mark.parametrize(("jobs", "key", "said"), [
    ({"bad": CLASSES | {"particles": ["first", "first.particles"]}}, "jobs.bad.particles", "is in the list twice"),
    ({"bad": CLASSES | {"particles": ["first", "thrid"]}}, "jobs.bad.particles", "there is no job called 'thrid'"),
    ({"bad": CLASSES | {"particles": []}}, "jobs.bad.particles", "the list is empty"),
    ({"bad": CLASSES | {"particles": ["first", "movies"]}, "movies": {
        "type": "import", "movies": "M/*.tif", "voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0}},
     "jobs.bad.particles", r"takes particles, and movies \(import\) offers movies.movies \(movies\)"),
    ({"bad": {"type": "localres", "half_maps": ["a.mrc", "b.mrc"]}}, "jobs.bad.half_maps", "takes one connection"),
    ({"bad": {"type": "extract", "micrographs": ["a.star", "b.star"], "coordinates": ["c.star", "d.star"],
              "box_size": 32}}, "jobs.bad.coordinates", "join the micrographs before they are picked"),
    ({"bad": {"type": "select", "particles": ["first", "second"], "classes": [1]}}, "jobs.bad.particles",
     "classes is of one classification"),
    ({"both": {"type": "joinstar", "particles": ["first", "second"]}, "bad": {"type": "select", "particles": "both",
                                                                               "model": "m.star"}},
     "jobs.bad.particles", "model is of one classification"),
    ({"classes_particles": SELECT | {"particles": "c.star"}}, "jobs.classes.particles", "as another job is; rename"),
    ({"bad": {"type": "joinstar", "particles": ["first"]}}, "jobs.bad", "two or more lists of one kind"),
    ({"bad": {"type": "joinstar", "particles": "first"}}, "jobs.bad", "two or more lists of one kind"),
    ({"bad": {"type": "joinstar", "particles": ["first", "second"], "movies": ["m.star", "n.star"]}}, "jobs.bad",
     "two or more lists of one kind"),
    ({"bad": {"type": "joinstar", "particels": ["first", "second"]}}, "jobs.bad.particels", "did you mean 'particles'"),
])
def test_lists_that_can_not_be_joined_are_mistakes_of_the_list(jobs: Any, key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        parsed(**jobs)
    assert refused.value.key == key


def test_a_mistake_in_a_list_has_the_line_of_the_list(tmp_path: Path) -> None:
    Path(tmp_path, "config.yaml").write_text("jobs:\n  classes:\n    type: class2d\n    particles: [a.star, nix]\n"
                                             "    particle_diameter: 20\n")
    with pytest.raises(ConfigError) as refused:
        parse_config({"jobs": {"classes": CLASSES | {"particles": ["a.star", "nix"]}}})
    assert line_of(str(tmp_path / "config.yaml"), refused.value.key) == 4


def particles(session: str, count: int) -> None:
    """Write `session`.star; what is in it is of no matter but for its rows and names."""
    rows = pd.DataFrame({"rlnImageName": [f"{n + 1:06d}@{session}.mrcs" for n in range(count)], "rlnOpticsGroup": 1,
                         "rlnDefocusU": 9000.0})
    optics = pd.DataFrame({"rlnOpticsGroupName": ["one"], "rlnOpticsGroup": [1], "rlnVoltage": [300.0],
                           "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1], "rlnImagePixelSize": [3.0],
                           "rlnImageSize": [16]})
    write_star(f"{session}.star", {"optics": optics, "particles": rows})


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project whose selections and joins run, and whose classifications copy what they read."""
    monkeypatch.chdir(tmp_path)
    programs = running.import_module

    def classify(options: Any, inputs: Any, out: Path, progress: Any) -> None:
        for name in ("data.star", "model.star", "optimiser.star", "classes.mrcs"):
            shutil.copy(inputs["particles"], out / f"run_it001_{name}")

    monkeypatch.setattr(running, "import_module",
                        lambda name: SimpleNamespace(run=classify) if "class2d" in name else programs(name))
    for session, count in (("a", 6), ("b", 4)):
        particles(session, count)
    return tmp_path


def run(**more: Any) -> Plan:
    plan = make_plan(parse_config({"jobs": copy.deepcopy(JOBS), "pictures": False, **more}))
    commit(plan)
    for job in plan.own:
        if job.disposition is not Disposition.BELOW_GROWTH:
            assert run_job(job.config.type, shlex.split(arguments(plan, job.path))) == 0
    return plan


def test_edges_job_star_and_flowchart_go_through_the_join(project: Path) -> None:
    plan = run()
    assert [job.path for job in plan.jobs.values()] == ["Select/job001", "Select/job002", "JoinStar/job003",
                                                        "Class2D/job004", "Class2D/job005"]
    joined = "JoinStar/job003/join_particles.star"
    pipeline = read_pipeline("default_pipeline.star")
    assert set(pipeline.input_edges) >= {("Select/job001/particles.star", "JoinStar/job003/"),
                                         ("Select/job002/particles.star", "JoinStar/job003/"),
                                         (joined, "Class2D/job004/"), (joined, "Class2D/job005/")}
    assert ("Select/job001/particles.star", "Class2D/job004/") not in pipeline.input_edges
    assert pipeline.processes["JoinStar/job003/"].type_label == "relion.joinstar.particles"
    assert pipeline.processes["JoinStar/job003/"].alias == "JoinStar/classes_particles/"
    node = pipeline.nodes[joined]
    assert (node.type_id, node.type_label) == (3, "ParticleGroupMetadata.star.relion")
    options = read_job_star(Path("JoinStar/job003/job.star")).options
    assert {name: options[name] for name in ("do_part", "fn_part1", "fn_part2", "fn_part3", "do_mic", "do_mov")} == {
        "do_part": "Yes", "fn_part1": "Select/job001/particles.star", "fn_part2": "Select/job002/particles.star",
        "fn_part3": "", "do_mic": "No", "do_mov": "No"}
    assert read_job_star(Path("Class2D/job004/job.star")).options["fn_img"] == joined
    chart = layout(pipeline)
    assert {(arrow.source, arrow.target) for arrow in chart.arrows} >= {
        ("Select/job001/", "JoinStar/job003/"), ("Select/job002/", "JoinStar/job003/"),
        ("JoinStar/job003/", "Class2D/job004/"), ("JoinStar/job003/", "Class2D/job005/")}
    assert row_count("Class2D/job005/run_it001_data.star") == 10


def test_nothing_new_is_nothing_to_do_and_growth_is_a_new_number_for_all_that_follows(project: Path) -> None:
    run()
    before = Path("JoinStar/job003/join_particles.star").read_bytes()
    assert {job.disposition for job in run().jobs.values()} == {Disposition.BELOW_GROWTH}
    particles("b", 9)
    plan = run()
    assert [job.path for job in plan.jobs.values()][1:] == ["Select/job006", "JoinStar/job007", "Class2D/job008",
                                                            "Class2D/job009"]
    assert plan.jobs["classes_particles"].growth == "follows second"
    assert plan.jobs["classes"].growth == "follows classes_particles"
    assert row_count("JoinStar/job007/join_particles.star") == row_count("Class2D/job008/run_it001_data.star") == 15
    assert Path("JoinStar/job003/join_particles.star").read_bytes() == before
    assert os.readlink("JoinStar/classes_particles") == "../JoinStar/job007/"


def test_growth_of_a_join_is_that_of_all_its_tables(project: Path) -> None:
    jobs = {"classes": CLASSES | {"particles": ["a.star", "b.star"]}}
    run(jobs=jobs)
    particles("b", 12)  # three times as many, and 18 are less than twice the 10 of both
    plan = run(jobs=jobs, grow=2)
    assert [job.path for job in plan.jobs.values()] == ["JoinStar/job001", "Class2D/job002"]
    plan = run(jobs=jobs, grow=1.5)
    assert plan.jobs["classes_particles"].growth == "10 -> 18 particles"
    assert [job.path for job in plan.jobs.values()] == ["JoinStar/job003", "Class2D/job004"]


def test_what_waits_for_particles_counts_those_of_a_join_that_is_still_to_be_made(project: Path) -> None:
    jobs = {"classes": CLASSES | {"particles": ["a.star", "b.star"], "at_least": 11}}
    plan = make_plan(parse_config({"jobs": jobs}))
    assert plan.jobs["classes"].why_held == "waits for 11 particles; 10 so far"
    particles("b", 5)
    assert make_plan(parse_config({"jobs": jobs})).jobs["classes"].path == "Class2D/job002"


def test_lists_of_micrographs_are_joined_again_in_their_place(project: Path) -> None:
    for name, count in (("m", 2), ("n", 3)):
        write_star(f"{name}.star", {"optics": read_table("a.star", "optics", []), "micrographs": pd.DataFrame(
            {"rlnMicrographName": [f"{name}/{n}.mrc" for n in range(count)], "rlnOpticsGroup": 1})})
    jobs = {"both": {"type": "joinstar", "micrographs": ["m.star", "n.star"]}}
    run(jobs=jobs)
    assert read_pipeline("default_pipeline.star").processes["JoinStar/job001/"].type_label == (
        "relion.joinstar.micrographs")
    tables = read_star("n.star")
    rows = pd.concat([tables["micrographs"], tables["micrographs"].assign(rlnMicrographName=["n/3", "n/4", "n/5"])])
    write_star("n.star", tables | {"micrographs": rows})
    os.utime("JoinStar/job001/join_mics.star", (1, 1))
    plan = run(jobs=jobs)
    assert plan.jobs["both"].path == "JoinStar/job001" and row_count("JoinStar/job001/join_mics.star") == 8


def test_renaming_a_job_reaches_into_lists_and_a_join_has_its_name_from_the_list(project: Path) -> None:
    text = yaml.safe_dump({"jobs": JOBS, "pictures": False}, default_flow_style=None, sort_keys=False)
    Path("config.yaml").write_text(text)
    run()
    processes = read_pipeline("default_pipeline.star").processes
    give_alias(processes["Select/job001/"], "best")
    assert Path("config.yaml").read_text() == text.replace("[first, second]", "[best, second]").replace(
        "[first.particles, second]", "[best.particles, second]").replace("  first:", "  best:")
    with pytest.raises(CryosnakeError, match="'classes_particles' is the join of a list"):
        give_alias(processes["JoinStar/job003/"], "both")
