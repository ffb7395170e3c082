import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from cryosnake.pipeline.edit import add_node, add_process, connect, set_alias, set_status
from cryosnake.pipeline.files import PIPELINE_FILE, pipeline_blocks, read_pipeline, write_pipeline
from cryosnake.pipeline.job_star import write_job_pipeline, write_job_star, write_output_nodes
from cryosnake.pipeline.lock import rebuild_pipeline, update_pipeline
from cryosnake.pipeline.markers import make_alias_link, set_exit
from cryosnake.pipeline.model import Node, Pipeline, Process, Status, job_name
from cryosnake.pipeline.rebuild import rebuild
from cryosnake.pipeline.star_text import Block, write_blocks

JOBS = (("Import", 0, "relion.import.movies", "movies.star", "MicrographMovieGroupMetadata.star.relion", 0),
        ("MotionCorr", 1, "relion.motioncorr.own", "corrected_micrographs.star",
         "MicrographGroupMetadata.star.relion.motioncorr", 1),
        ("CtfFind", 2, "relion.ctffind.own", "micrographs_ctf.star", "MicrographGroupMetadata.star.relion.ctf", 1))
STATES = (Status.SUCCEEDED, Status.FAILED, Status.SCHEDULED)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Three jobs in a chain as the planner leaves them: one succeeded with a late node, one failed, one scheduled."""
    pipeline = Pipeline()
    for number, (folder, type_id, label, file, node_label, node_id) in enumerate(JOBS, start=1):
        name = job_name(folder, number)
        inputs = [(list(pipeline.nodes)[-1], name)] if pipeline.nodes else []
        pipeline = add_process(pipeline, Process(name, "", label, type_id))
        pipeline = connect(add_node(pipeline, Node(name + file, node_label, node_id), name), inputs=inputs)
        directory = tmp_path / name
        directory.mkdir(parents=True)
        write_job_pipeline(directory / "job_pipeline.star", pipeline, name)
        write_job_star(directory / "job.star", type_id, label, False, {})
        pipeline = set_alias(pipeline, name, f"my{folder}")
        make_alias_link(tmp_path, pipeline.processes[name])
        status = STATES[number - 1]
        if status != Status.SCHEDULED:
            set_exit(directory, status)
            pipeline = set_status(pipeline, name, status)
    late = Node("Import/job001/extra.star", "ParticleGroupMetadata.star.relion", 3)
    write_output_nodes(tmp_path / "Import/job001/RELION_OUTPUT_NODES.star", [late])
    write_pipeline(tmp_path / PIPELINE_FILE, add_node(pipeline, late, "Import/job001/"))
    return tmp_path


def same(first: Pipeline, second: Pipeline) -> bool:
    """Equal but for the order of nodes and edges."""
    return (first.counter, first.processes, first.nodes, set(first.input_edges), set(first.output_edges)) == (
        second.counter, second.processes, second.nodes, set(second.input_edges), set(second.output_edges))


def test_everything_comes_back(project: Path) -> None:
    expected = read_pipeline(project / PIPELINE_FILE)
    assert len(expected.by_alias) == 3 and len(expected.nodes) == 4
    warnings: list[str] = []
    assert same(rebuild(project, warnings), expected)
    assert warnings == []
    (project / PIPELINE_FILE).write_text("rubbish")
    rebuild_pipeline(project)
    assert same(read_pipeline(project / PIPELINE_FILE), expected)


def test_deleted_jobs_count_for_the_counter(project: Path) -> None:
    (project / "Trash" / "Extract" / "job017").mkdir(parents=True)
    rebuilt = rebuild(project)
    assert rebuilt.counter == 18
    assert len(rebuilt.processes) == 3


def test_nodes_declared_by_a_failed_job_do_not_count(project: Path) -> None:
    set_exit(project / "Import/job001", Status.FAILED)
    assert "Import/job001/extra.star" not in rebuild(project).nodes


@pytest.mark.parametrize("text", [
    "not a STAR file",
    "data_output_nodes\n\nloop_\n_rlnPipeLineNodeName #1\n_rlnPipeLineNodeType #2\nImport/job001/a\n",
    "data_output_nodes\n\nloop_\n_rlnPipeLineNodeName #1\n_rlnPipeLineNodeType #2\nImport/job001/a x\n",
    "data_output_nodes\n\nloop_\n_rlnPipeLineNodeType #1\n3\n", "\0\xff" * 50,
])
def test_one_damaged_list_of_late_nodes_stops_nothing(project: Path, text: str) -> None:
    (project / "Import/job001/RELION_OUTPUT_NODES.star").write_text(text, encoding="latin-1")
    warnings: list[str] = []
    found = rebuild(project, warnings)
    assert len(found.processes) == 3 and len(found.nodes) == 3
    assert len(warnings) == 1 and warnings[0].startswith("Import/job001/: RELION_OUTPUT_NODES.star is damaged (")


def test_a_job_without_its_pipeline_file_is_kept_and_named(project: Path) -> None:
    (project / "MotionCorr/job002/job_pipeline.star").unlink()
    warnings: list[str] = []
    rebuilt = rebuild(project, warnings)
    assert rebuilt.processes["MotionCorr/job002/"] == Process("MotionCorr/job002/", "MotionCorr/myMotionCorr/",
                                                              "relion.motioncorr.own", 1, status=Status.FAILED)
    # CtfFind says that it reads the file, and where it lies says who made it
    assert rebuilt.producers["MotionCorr/job002/corrected_micrographs.star"] == "MotionCorr/job002/"
    assert len(warnings) == 1 and "MotionCorr/job002/: job_pipeline.star is missing or damaged" in warnings[0]


def test_a_bare_directory_gives_its_type(project: Path) -> None:
    (project / "Extract" / "job004").mkdir(parents=True)
    rebuilt = rebuild(project)
    assert rebuilt.processes["Extract/job004/"] == Process("Extract/job004/", "", "relion.extract", 5)


def test_intermediate_files_belong_to_the_job_in_whose_folder_they_lie(project: Path) -> None:
    name, node = "Select/job004/", "CtfFind/job003/deep/er/run_it010_optimiser.star"
    part = add_process(Pipeline(), Process(name, "", "relion.select", 7))
    part = connect(add_node(part, Node(node, "OptimiserData.star.relion", 9)), inputs=[(node, name)])
    (project / name).mkdir(parents=True)
    write_pipeline(project / name / "job_pipeline.star", part)
    assert rebuild(project).producers[node] == "CtfFind/job003/"


def test_labels_that_relion_dropped_are_given_back(project: Path) -> None:
    path = project / PIPELINE_FILE
    expected = read_pipeline(path)
    tables = {}
    for name, block in pipeline_blocks(expected).items():
        keep = [i for i, label in enumerate(block.labels) if "Label" not in label]
        tables[name] = Block(tuple(block.labels[i] for i in keep), [tuple(row[i] for i in keep) for row in block.rows],
                             block.is_list)
    write_blocks(path, tables)
    assert read_pipeline(path).processes["MotionCorr/job002/"].type_label == "relion.motioncorr"
    update_pipeline(project, lambda pipeline: pipeline)  # nothing changes, yet the file becomes hybrid again
    assert read_pipeline(path) == expected


@pytest.mark.data
def test_real_relion_5_project(real_data: Path, tmp_path: Path) -> None:
    """All but the aliases, whose links were not stored; with the links, the aliases too."""
    project = tmp_path / "project"
    shutil.copytree(real_data / "relion50_project_bgal", project, symlinks=True)
    expected = read_pipeline(project / PIPELINE_FILE)
    without = {name: replace(process, alias="") for name, process in expected.processes.items()}
    warnings: list[str] = []
    assert same(rebuild(project, warnings), replace(expected, processes=without))
    assert warnings == []
    for process in expected.processes.values():
        make_alias_link(project, process)
    assert same(rebuild(project), expected)


@pytest.mark.data
def test_real_relion_31_project(real_data: Path, tmp_path: Path) -> None:
    """31 jobs with aliases. Its user ran some again with other inputs, and RELION kept the edges of both."""
    with tarfile.open(real_data / "relion31_project_bgal" / "relion_tutorial_files.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    expected = read_pipeline(tmp_path / PIPELINE_FILE)
    warnings: list[str] = []
    rebuilt = rebuild(tmp_path, warnings)
    assert warnings == []
    assert (rebuilt.counter, rebuilt.processes) == (expected.counter, expected.processes)
    assert set(expected.nodes) - set(rebuilt.nodes) == {"Extract/job008/particles.star",
                                                        "Polish/job027/opt_params_all_groups.txt"}
    assert set(expected.input_edges) >= set(rebuilt.input_edges)
    assert len(expected.input_edges) - len(rebuilt.input_edges) == 4
