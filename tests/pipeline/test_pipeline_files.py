import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import NODE_TYPES
from cryosnake.pipeline.files import is_hybrid, parse_pipeline, pipeline_blocks, read_pipeline, write_pipeline
from cryosnake.pipeline.model import Node, Pipeline, Process, Status, job_name
from cryosnake.pipeline.star_text import Block, format_blocks, parse_blocks, read_blocks
from cryosnake.pipeline.types import (
    PROCESS_TYPES,
    modern_node_label,
    node_id_of,
    node_label_of,
    process_id_of,
    process_label_of,
)

KNOWN = [kind for kind in PROCESS_TYPES if kind.id != 11]  # 11 shares its label with 20
LABELLED = [node for node in NODE_TYPES if node.label]


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Pipelines whose types exist in both dialects, with random edges."""
    processes, nodes = {}, {}
    for number in range(1, draw(st.integers(0, 6)) + 1):
        kind = draw(st.sampled_from(KNOWN))
        name = job_name(kind.folder, number)
        alias = draw(st.sampled_from(["", f"{kind.folder}/a{number}/"]))
        processes[name] = Process(name, alias, kind.label, kind.id, status=draw(st.sampled_from(Status)))
    for index in range(draw(st.integers(0, 6))):
        node = draw(st.sampled_from(LABELLED))
        name = draw(st.sampled_from([*processes, ""])) + f"file {index}.star"
        nodes[name] = Node(name, node.label, node.relion3, 1)
    inputs = draw(st.lists(st.sampled_from([(n, p) for n in nodes for p in processes]), unique=True)) \
        if nodes and processes else []
    makers = {node: draw(st.sampled_from([*processes, None])) for node in nodes}
    outputs = [(process, node) for node, process in makers.items() if process]
    return Pipeline(len(processes) + draw(st.integers(1, 3)), processes, nodes, tuple(inputs),
                    output_edges=tuple(outputs))


def only(pipeline: Pipeline, drop: tuple[str, ...], version: int) -> Pipeline:
    """What our reader makes of a file from which RELION dropped columns."""
    tables = {}
    for name, block in pipeline_blocks(pipeline).items():
        keep = [i for i, label in enumerate(block.labels) if not label.endswith(drop)]
        tables[name] = Block(tuple(block.labels[i] for i in keep), [tuple(row[i] for i in keep) for row in block.rows],
                             block.is_list)
    return parse_pipeline(parse_blocks(format_blocks(tables, version)), "default_pipeline.star")


@given(pipelines())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_round_trip(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "default_pipeline.star"
    write_pipeline(path, pipeline)
    assert read_pipeline(path) == pipeline
    assert list(read_pipeline(path).processes) == list(pipeline.processes)  # order too
    assert is_hybrid(read_blocks(path))
    assert (tmp_path / ".pipeline_has_changed").exists()


@given(pipelines())
def test_labels_follow_from_integers_and_integers_from_labels(pipeline: Pipeline) -> None:
    assert only(pipeline, ("Label", "LabelDepth"), 30001) == pipeline  # as RELION 3.1 leaves it
    assert only(pipeline, ("ProcessType", "NodeType", "ProcessStatus"), 50001) == pipeline  # as RELION 5 leaves it


@pytest.mark.parametrize("kind", KNOWN, ids=lambda kind: f"{kind.id}-{kind.folder}")
def test_process_types_agree_in_both_directions(kind: object) -> None:
    assert process_label_of(kind.id, kind.folder) == kind.label  # type: ignore[attr-defined]
    assert process_id_of(kind.label + ".own.deeper") == kind.id  # type: ignore[attr-defined]
    assert process_id_of("renamed.in.future", kind.folder) == kind.id  # type: ignore[attr-defined]


@pytest.mark.parametrize("node", LABELLED, ids=lambda node: node.name)
def test_node_types_agree_in_both_directions(node: object) -> None:
    assert node_label_of(node.relion3) == node.label  # type: ignore[attr-defined]
    assert node_id_of(f"{node.label}.motioncorr") == node.relion3  # type: ignore[attr-defined]


def test_the_deepest_known_label_decides() -> None:
    assert [node_id_of("DensityMap.mrc" + deep) for deep in ("", ".relion.refine3d", ".halfmap.x",
                                                             ".relion.postprocess")] == [6, 6, 10, 11]
    assert node_id_of("TomoTrajectoryData.star") == 99


def test_labels_of_relion_4_are_renewed_below_version_50001_only() -> None:
    text = ("data_pipeline_general\n_rlnPipeLineJobCounter 2\n\n# version {}\ndata_pipeline_nodes\nloop_\n"
            "_rlnPipeLineNodeName\n_rlnPipeLineNodeTypeLabel\nx.star ParticlesData.star.relion\n")
    nodes = [parse_pipeline(parse_blocks(text.format(v)), "p").nodes["x.star"] for v in (30001, 50001)]
    assert [(node.type_label, node.type_id) for node in nodes] == [
        ("ParticleGroupMetadata.star.relion", 3), ("ParticlesData.star.relion", 99)]
    assert modern_node_label("DensityMap.mrc") == "DensityMap.mrc"


def test_empty_project() -> None:
    assert parse_pipeline(parse_blocks("data_pipeline_general\n_rlnPipeLineJobCounter 1\n"), "p") == Pipeline()


def test_a_counter_that_would_give_a_number_twice_is_raised() -> None:
    text = format_blocks(pipeline_blocks(Pipeline(3, {"Import/job007/": Process("Import/job007/")})))
    assert parse_pipeline(parse_blocks(text), "p").counter == 8


def test_edges_to_unknown_are_dropped_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "default_pipeline.star"
    name = "Import/job001/"
    write_pipeline(path, Pipeline(2, {name: Process(name)}, {}, (("x.star", name),)))
    warnings: list[str] = []
    assert read_pipeline(path, warnings).input_edges == ()
    assert len(warnings) == 1 and "default_pipeline.star: edge between x.star and Import/job001/ dropped" in warnings[0]


@pytest.mark.parametrize(("old", "new", "message"), [
    (" 2 relion.import ", " 7 relion.import ", "Import/job001/ has the status '7'"),
    ("Succeeded", "Finished", "has the status 'Finished'; RELION knows .*2 or Succeeded"),
    ("_rlnPipeLineProcessName", "_rlnSomething", "column rlnPipeLineProcessName is missing; restore"),
    ("JobCounter                    2", "JobCounter two", "rlnPipeLineJobCounter is 'two'"),
    ("data_pipeline_", "data_other_", "has no pipeline block; restore"),
])
def test_bad_files(old: str, new: str, message: str) -> None:
    process = Process("Import/job001/", "", "relion.import", 0, status=Status.SUCCEEDED)
    text = format_blocks(pipeline_blocks(Pipeline(2, {process.name: process})))
    assert old in text
    text = text.replace(old, new)
    if "Finished" in text:  # the word counts only where the number is missing
        text = text.replace("_rlnPipeLineProcessStatus #", "_rlnOther #")
    with pytest.raises(CryosnakeError, match=message):
        parse_pipeline(parse_blocks(text), "default_pipeline.star")


def test_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CryosnakeError, match="no such file; it has no jobs yet: the first `snakemake`"):
        read_pipeline(tmp_path / "default_pipeline.star")
    (tmp_path / "Import/job001").mkdir(parents=True)
    with pytest.raises(CryosnakeError, match="no such file; `cryosnake rebuild-pipeline`"):
        read_pipeline(tmp_path / "default_pipeline.star")


@pytest.mark.data
@pytest.mark.parametrize(("project", "counter", "processes", "nodes", "inputs"), [
    ("relion20_bgal_falcon", 29, 28, 78, 40), ("relion31_project_bgal", 32, 31, 72, 47),
    ("relion50_project_bgal", 11, 8, 15, 8)])
def test_real_projects(real_data: Path, tmp_path: Path, project: str, counter: int, processes: int, nodes: int,
                       inputs: int) -> None:
    warnings: list[str] = []
    source = real_data / project / "default_pipeline.star"
    pipeline = read_pipeline(source, warnings)
    assert warnings == []
    assert (pipeline.counter, len(pipeline.processes), len(pipeline.nodes), len(pipeline.input_edges)) == (
        counter, processes, nodes, inputs)
    assert {process.status for process in pipeline.processes.values()} == {Status.SUCCEEDED}
    assert not [node for node in pipeline.nodes.values() if node.type_id == 99]
    write_pipeline(tmp_path / "default_pipeline.star", pipeline)
    assert read_pipeline(tmp_path / "default_pipeline.star") == pipeline
    ours, theirs = read_blocks(tmp_path / "default_pipeline.star"), read_blocks(source)
    for name, block in theirs.items():  # every column that RELION wrote stands unchanged in ours
        for label in block.labels:
            assert ours[name].column(label) == block.column(label), (name, label)


@pytest.mark.data
def test_every_backup_in_the_real_projects(real_data: Path, tmp_path: Path) -> None:
    with tarfile.open(real_data / "relion31_project_bgal" / "relion_tutorial_files.tar.xz") as archive:
        members = [m for m in archive.getmembers() if m.name.endswith("_pipeline.star")]
        archive.extractall(tmp_path, members, filter="data")
    paths = [*tmp_path.rglob("*_pipeline.star"), *real_data.rglob("*_pipeline.star")]
    assert len(paths) > 80
    for path in paths:
        assert read_pipeline(path).processes, path
