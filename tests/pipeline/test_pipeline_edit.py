import re

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline import edit
from cryosnake.pipeline.model import Node, Pipeline, Process, Status, job_name, job_number


def chain(length: int) -> Pipeline:
    """Import -> MotionCorr -> … with one node each, numbered from 1."""
    pipeline = Pipeline()
    for number, folder in enumerate(["Import", "MotionCorr", "CtfFind", "Extract"][:length], start=1):
        name = job_name(folder, number)
        before = list(pipeline.nodes)[-1:]
        pipeline = edit.add_process(pipeline, Process(name))
        pipeline = edit.add_node(pipeline, Node(f"{name}out.star"), producer=name)
        pipeline = edit.connect(pipeline, inputs=[(node, name) for node in before])
    return pipeline


@pytest.mark.parametrize(("name", "number"), [
    ("MotionCorr/job002/", 2), ("MotionCorr/job002", 2), ("Extract/job1234/Movies/a.mrcs", 1234),
    ("MotionCorr/motion/", None), ("Movies/job1/a.tif", None), ("Movies/myjob001/a.tif", None)])
def test_job_numbers(name: str, number: int | None) -> None:
    assert job_number(name) == number


def test_numbers_above_999_are_not_padded() -> None:
    assert [job_name("Import", n) for n in (1, 999, 1000)] == ["Import/job001/", "Import/job999/", "Import/job1000/"]


def test_counter_moves_past_every_number_and_never_back() -> None:
    pipeline = chain(4)
    assert pipeline.counter == 5
    assert edit.add_process(pipeline, Process("Import/job002/")).counter == 5
    assert edit.remove_processes(pipeline, ["Extract/job004/"]).counter == 5


def test_functions_leave_their_argument_alone() -> None:
    pipeline = chain(2)
    changed = edit.set_status(pipeline, "Import/job001/", Status.FAILED)
    assert pipeline.processes["Import/job001/"].status == Status.SCHEDULED
    assert changed.processes["Import/job001/"].status == Status.FAILED
    assert pipeline == chain(2)


def test_walks() -> None:
    pipeline = chain(4)
    assert pipeline.parents("CtfFind/job003/") == ["MotionCorr/job002/"]
    assert pipeline.children("CtfFind/job003/") == ["Extract/job004/"]
    assert pipeline.ancestors("CtfFind/job003/") == {"Import/job001/", "MotionCorr/job002/"}
    assert pipeline.descendants("MotionCorr/job002/") == {"CtfFind/job003/", "Extract/job004/"}
    assert pipeline.outputs["Extract/job004/"] == ("Extract/job004/out.star",)
    assert pipeline.inputs["Import/job001/"] == ()


def test_removing_a_job_takes_its_nodes_and_edges() -> None:
    pipeline = edit.remove_processes(chain(3), ["MotionCorr/job002/"])
    assert list(pipeline.nodes) == ["Import/job001/out.star", "CtfFind/job003/out.star"]
    assert pipeline.input_edges == ()
    assert edit.tidy(pipeline)[1] == []


def test_removing_a_node_takes_its_edges() -> None:
    pipeline = edit.remove_nodes(chain(2), ["Import/job001/out.star"])
    assert pipeline.input_edges == ()
    assert pipeline.output_edges == (("MotionCorr/job002/", "MotionCorr/job002/out.star"),)


def test_connect_refuses_unknown_ends_and_second_producers() -> None:
    with pytest.raises(CryosnakeError, match=r"node no\.star is not in the pipeline"):
        edit.connect(chain(1), inputs=[("no.star", "Import/job001/")])
    with pytest.raises(CryosnakeError, match="process No/job009/ is not in the pipeline"):
        edit.connect(chain(1), outputs=[("No/job009/", "Import/job001/out.star")])
    with pytest.raises(CryosnakeError, match="produced by Import/job001/ and by MotionCorr/job002/"):
        edit.connect(chain(2), outputs=[("MotionCorr/job002/", "Import/job001/out.star")])


def test_connecting_twice_makes_one_edge() -> None:
    pipeline = chain(2)
    assert edit.connect(pipeline, inputs=pipeline.input_edges) == pipeline


def test_tidy_drops_what_relion_drops() -> None:
    good = chain(2)
    bad = Pipeline(good.counter, good.processes, good.nodes, (*good.input_edges, ("x", "Import/job001/")),
                   output_edges=(*good.output_edges, ("MotionCorr/job002/", "Import/job001/out.star")))
    pipeline, warnings = edit.tidy(bad)
    assert pipeline == good
    assert len(warnings) == 2


def test_alias_moves_from_the_old_job_to_the_new() -> None:
    pipeline = edit.add_process(chain(2), Process("MotionCorr/job003/"))
    pipeline = edit.set_alias(pipeline, "MotionCorr/job002/", "my motion")
    assert pipeline.processes["MotionCorr/job002/"].alias == "MotionCorr/my_motion/"
    pipeline = edit.set_alias(pipeline, "MotionCorr/job003/", "my motion")
    assert pipeline.processes["MotionCorr/job002/"].alias == ""
    assert pipeline.processes["MotionCorr/job003/"].short_alias == "my_motion"
    assert edit.set_alias(pipeline, "MotionCorr/job003/", "").by_alias == {}


@pytest.mark.parametrize("alias", ["my alias", "dot.v1", "ab", "motion-2"])
def test_aliases_that_relion_takes(alias: str) -> None:
    assert edit.alias_problem(alias, {"other"}) is None


@pytest.mark.parametrize(("alias", "reason"), [
    ("a", "two characters"), ("", "two characters"), ("jobby", "job numbers"), ("a*b", r"'\*'"), ("a/b", "'/'"),
    ("a$", r"'\$'"), ("mine", "another job"), ("a\nb", "refuses"), ("..", "hide"), ("None", "no alias")])
def test_aliases_that_relion_refuses(alias: str, reason: str) -> None:
    problem = edit.alias_problem(alias, {"mine"})
    assert problem is not None
    assert re.search(reason, problem)


def test_unknown_job_is_named_with_the_remedy() -> None:
    with pytest.raises(CryosnakeError, match=r"CtfFind/job009/: no such job .*rebuild-pipeline"):
        edit.set_status(chain(2), "CtfFind/job009/", Status.FAILED)
