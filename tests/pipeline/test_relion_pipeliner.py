"""RELION 3.1's own pipeliner on a project that this package wrote, and our reader on what it wrote back."""

import os
import subprocess
from pathlib import Path

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import add_node, add_process, connect, set_alias
from cryosnake.pipeline.files import PIPELINE_FILE, is_hybrid, read_pipeline, write_pipeline
from cryosnake.pipeline.job_star import read_job_star, write_job_pipeline, write_job_star, write_output_nodes
from cryosnake.pipeline.lock import LOCK_DIRECTORY, pipeline_lock, update_pipeline
from cryosnake.pipeline.markers import back_up, make_alias_link, set_exit, write_node_markers
from cryosnake.pipeline.model import Node, Pipeline, Process, Status, job_name
from cryosnake.pipeline.rebuild import rebuild
from cryosnake.pipeline.star_text import read_blocks

pytestmark = pytest.mark.relion

PARTICLES, MICROGRAPHS = "ParticleGroupMetadata.star.relion", "MicrographGroupMetadata.star.relion"
JOBS = (  # folder, id, label, status, output, its label, its id
    ("Import", 0, "relion.import.movies", 2, "movies.star", "MicrographMovieGroupMetadata.star.relion", 0),
    ("Extract", 5, "relion.extract", 0, "particles.star", PARTICLES, 3),
    ("Class2D", 8, "relion.class2d", 2, "run_it003_data.star", f"{PARTICLES}.class2d", 3),
    ("PostProcess", 15, "relion.postprocess", 3, "postprocess.mrc", "DensityMap.mrc.relion.postprocess", 11),
    ("CtfFind", 2, "relion.ctffind.own", 0, "micrographs_ctf.star", f"{MICROGRAPHS}.ctf", 1),
)


@pytest.fixture
def project(tmp_path: Path, relion: Path) -> Path:
    """Five jobs with the files that the checks need; 1 has an alias, 2 and 5 are running."""
    pipeline = add_node(Pipeline(), Node("reference map.mrc", "DensityMap.mrc", 6))
    for number, (folder, type_id, label, status, file, node_label, node_id) in enumerate(JOBS, start=1):
        name = job_name(folder, number)
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / file).write_text("x")
        before = [node for node in pipeline.nodes if "/" in node][-1:] or ["reference map.mrc"]
        pipeline = add_process(pipeline, Process(name, "", label, type_id, status=Status(status)))
        pipeline = add_node(pipeline, Node(name + file, node_label, node_id), name)
        pipeline = connect(pipeline, inputs=[(node, name) for node in before])
        write_job_star(tmp_path / name / "job.star", type_id, label, False, {"do_queue": "No", "other_args": ""})
        write_job_pipeline(tmp_path / name / "job_pipeline.star", pipeline, name)
    pipeline = set_alias(pipeline, "Import/job001/", "first")
    make_alias_link(tmp_path, pipeline.processes["Import/job001/"])
    write_pipeline(tmp_path / PIPELINE_FILE, pipeline)
    write_node_markers(tmp_path, pipeline)
    back_up(tmp_path, "CtfFind/job005/")
    for iteration in range(4):
        (tmp_path / f"Class2D/job003/run_it{iteration:03d}_data.star").write_text("x")
        (tmp_path / f"Class2D/job003/run_it{iteration:03d}_model.star").write_text("x")
    return tmp_path


def pipeliner(project: Path, *arguments: str) -> int:
    environment = {**os.environ, "RELION_SHELL": "bash"}
    done = subprocess.run(["relion_pipeliner", *arguments], cwd=project, env=environment, timeout=60, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    print(done.stdout)  # pytest shows it where a test fails
    return done.returncode


def facts(pipeline: Pipeline) -> tuple[object, ...]:
    """All that a 3.1 file holds, without order."""
    return (pipeline.counter, {(p.name, p.alias, p.type_id, p.status) for p in pipeline.processes.values()},
            {(node.name, node.type_id) for node in pipeline.nodes.values()}, set(pipeline.input_edges),
            set(pipeline.output_edges))


def test_relion_keeps_all_and_we_take_it_back(project: Path) -> None:
    """Checks 1 and 5: RELION strips the labels; integers, aliases and edges survive, and the labels come back."""
    path = project / PIPELINE_FILE
    ours = read_pipeline(path)
    assert pipeliner(project, "--check_job_completion") == 0
    assert not is_hybrid(read_blocks(path))
    theirs = read_pipeline(path)
    assert facts(theirs) == facts(ours)
    assert theirs.processes["CtfFind/job005/"].type_label == "relion.ctffind"
    assert update_pipeline(project, lambda pipeline: pipeline) == ours
    assert is_hybrid(read_blocks(path))
    assert pipeliner(project, "--check_job_completion") == 0
    assert not (project / LOCK_DIRECTORY).exists()


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.ABORTED])
def test_relion_sees_how_our_job_ended(project: Path, status: Status) -> None:
    """Checks 2 and 4."""
    set_exit(project / "Extract/job002", status)
    assert pipeliner(project, "--check_job_completion") == 0
    pipeline = read_pipeline(project / PIPELINE_FILE)
    assert pipeline.processes["Extract/job002/"].status == status
    assert pipeline.processes["CtfFind/job005/"].status == Status.RUNNING
    assert (project / ".Nodes/3/Extract/job002/particles.star").exists()


def test_relion_takes_nodes_found_while_running(project: Path) -> None:
    """Check 3."""
    node = Node("Extract/job002/extra.star", "ParticleGroupMetadata.star.relion", 3)
    (project / node.name).write_text("x")
    write_output_nodes(project / "Extract/job002/RELION_OUTPUT_NODES.star", [node])
    set_exit(project / "Extract/job002", Status.SUCCEEDED)
    assert pipeliner(project, "--check_job_completion") == 0
    pipeline = read_pipeline(project / PIPELINE_FILE)
    assert pipeline.nodes[node.name] == node
    assert pipeline.producers[node.name] == "Extract/job002/"
    assert set(rebuild(project).nodes) == set(pipeline.nodes)


def test_relions_alias_and_job_options_are_read(project: Path) -> None:
    """Check 7."""
    before = read_pipeline(project / PIPELINE_FILE).counter
    options = "fn_in_raw == Movies/*.mrcs;angpix == 3"
    assert pipeliner(project, "--addJob", "Import", "--addJobOptions", options, "--setJobAlias", "my movies") == 0
    pipeline = read_pipeline(project / PIPELINE_FILE)
    process = pipeline.by_alias["Import/my_movies/"]
    assert (process.name, pipeline.counter) == (job_name("Import", before), before + 1)
    assert process.status == Status.SCHEDULED
    assert os.readlink(project / "Import/my_movies") == f"../{process.name}"
    job = read_job_star(project / process.name / "job.star")
    assert (job.type_id, job.options["fn_in_raw"], job.options["angpix"]) == (0, "Movies/*.mrcs", "3")
    assert rebuild(project).processes[process.name] == process


def test_relion_adds_and_runs_a_job_from_our_job_star(project: Path) -> None:
    """Checks 8 and 9."""
    movies = project / "Movies"
    movies.mkdir()
    (movies / "mic001.mrcs").write_bytes(bytes(1024 + 4 * 64))
    write_job_star(project / "ours.star", 0, "relion.import.movies", False,
                   {"fn_in_raw": "Movies/*.mrcs", "angpix": "3", "optics_group_name": "optics-one",
                    "other_args": "two words", "no_option": "1"})
    assert pipeliner(project, "--addJobFromStar", "ours.star") == 0
    name = "Import/job006/"
    job = read_job_star(project / name / "job.star")
    assert (job.options["fn_in_raw"], job.options["other_args"]) == ("Movies/*.mrcs", "two words")
    update_pipeline(project, lambda pipeline: pipeline)  # hybrid again between two of RELION's writes
    assert pipeliner(project, "--RunJobs", f"{name} ", "--sec_wait_after", "1") == 0
    assert read_pipeline(project / PIPELINE_FILE).processes[name].status == Status.SUCCEEDED
    rows = read_blocks(project / name / "movies.star")
    assert rows["movies"].column("rlnMicrographMovieName") == ["Movies/mic001.mrcs"]
    assert rows["optics"].value("rlnMicrographOriginalPixelSize") == "3.000000"


def test_relion_cleans_our_jobs(project: Path) -> None:
    """Checks 12 and 13: a job that succeeded is cleaned, one that failed is refused, the pipeline stays."""
    before = facts(read_pipeline(project / PIPELINE_FILE))
    assert pipeliner(project, "--gentle_clean", "3") == 0
    left = sorted(path.name for path in (project / "Class2D/job003").glob("run_it*"))
    assert left == ["run_it003_data.star", "run_it003_model.star"]
    assert len(list((project / "Trash/Class2D/job003").iterdir())) == 6
    assert pipeliner(project, "--gentle_clean", "4") == 1
    assert not (project / "Trash/PostProcess").exists()
    assert facts(read_pipeline(project / PIPELINE_FILE)) == before


def test_relion_needs_the_integers_and_its_stale_lock_stays(project: Path) -> None:
    """Check 6: 3.1 refuses a file of labels only, and leaves its lock behind, which we explain and do not break."""
    path = project / PIPELINE_FILE
    path.write_text(path.read_text().replace("_rlnPipeLineNodeType ", "_rlnOther "))
    assert pipeliner(project, "--check_job_completion") == 1
    with pytest.raises(CryosnakeError, match="by RELION or another program"):
        update_pipeline(project, lambda pipeline: pipeline, timeout=0.1)
    assert (project / LOCK_DIRECTORY).exists()


def test_relion_waits_while_we_hold_the_lock(project: Path) -> None:
    with pipeline_lock(project):
        relion = subprocess.Popen(["relion_pipeliner", "--check_job_completion"], cwd=project,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            relion.wait(1)
        assert is_hybrid(read_blocks(project / PIPELINE_FILE))
    assert relion.wait(30) == 0  # RELION tries again every 3 s
    assert not is_hybrid(read_blocks(project / PIPELINE_FILE))
