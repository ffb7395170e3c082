"""default_pipeline.star after a power cut: empty, or cut off anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryosnake.pipeline.edit import add_node, add_process, connect, set_alias
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline, write_pipeline
from cryosnake.pipeline.job_star import write_job_pipeline
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import back_up, make_alias_link, set_exit
from cryosnake.pipeline.model import Node, Pipeline, Process, Status, job_name
from cryosnake.pipeline.recover import is_cut
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.planning.pipeline_counter import next_job_number


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    """Three jobs that follow from each other, each with the files that are written when it is added; a deleted one."""
    monkeypatch.chdir(tmp_path)
    pipeline, last = Pipeline(), ""
    for number, folder in enumerate(("Import", "MotionCorr", "CtfFind"), start=1):
        name = job_name(folder, number)
        Path(name).mkdir(parents=True)
        pipeline = add_process(pipeline, Process(name, status=Status.SUCCEEDED))
        pipeline = add_node(pipeline, Node(f"{name}out.star", "", 1), name)
        pipeline = set_alias(pipeline, name, f"name{number}")
        pipeline = connect(pipeline, inputs=[(last, name)] if last else [], outputs=[])
        last = f"{name}out.star"
        make_alias_link(tmp_path, pipeline.processes[name])
        write_job_pipeline(Path(name, "job_pipeline.star"), pipeline, name)
        set_exit(name, Status.SUCCEEDED)
    write_pipeline(PIPELINE_FILE, Pipeline(9, pipeline.processes, pipeline.nodes, pipeline.input_edges,
                                           output_edges=pipeline.output_edges))
    back_up(tmp_path, last.rpartition("/")[0])
    return tmp_path


def same(found: Pipeline, whole: Pipeline) -> bool:
    return (found.processes == whole.processes and set(found.nodes) == set(whole.nodes)
            and set(found.input_edges) == set(whole.input_edges) and set(found.output_edges) == set(whole.output_edges))


@pytest.mark.parametrize("copies", [True, False], ids=["from a copy", "from the jobs' own parts"])
def test_wherever_it_was_cut_nothing_is_missing_and_readers_write_nothing(project: Path, copies: bool) -> None:
    text, whole = Path(PIPELINE_FILE).read_text(), read_pipeline(PIPELINE_FILE)
    if not copies:
        Path("CtfFind/job003", PIPELINE_FILE).write_text("")
    for end in range(0, len(text.rstrip()), 13):
        Path(PIPELINE_FILE).write_text(text[:end])
        if text[:end].endswith(("\n \n", "\n \n\n")):
            continue  # between two tables
        assert is_cut("."), end
        assert same(read_pipeline_unlocked(), whole), end
        assert next_job_number(()) >= (9 if copies or "Counter                          9" in text[:end] else 4)
        assert Path(PIPELINE_FILE).read_text() == text[:end]


@pytest.mark.parametrize("end", [0, 60, 400, -30])
def test_the_next_program_that_writes_it_restores_it_and_says_so_once(project: Path, capsys, end: int) -> None:
    text, whole = Path(PIPELINE_FILE).read_text(), read_pipeline(PIPELINE_FILE)
    Path(PIPELINE_FILE).write_text(text[:end])
    for _ in range(2):
        assert same(update_pipeline(project, lambda pipeline: pipeline), whole)
    assert same(read_pipeline(PIPELINE_FILE), whole) and not is_cut(".")
    assert capsys.readouterr().err.count("was cut off") == 1


def test_what_is_whole_is_left_alone(project: Path, capsys) -> None:
    first = "Import/job001/"  # the others are being deleted: their directories are still there
    update_pipeline(project, lambda pipeline: Pipeline(4, {first: pipeline.processes[first]}))
    assert list(update_pipeline(project, lambda pipeline: pipeline).processes) == [first]
    Path("elsewhere").mkdir()
    write_pipeline("elsewhere/default_pipeline.star", Pipeline())
    assert not is_cut("elsewhere") and not is_cut("nowhere") and not capsys.readouterr().err
