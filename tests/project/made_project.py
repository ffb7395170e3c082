"""A made-up project in the working directory: jobs with files of known sizes, nodes and edges, without any science."""

from __future__ import annotations

from pathlib import Path

from cryosnake.pipeline.edit import add_node, add_process, connect, set_alias
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline, write_pipeline
from cryosnake.pipeline.job_star import write_job_pipeline, write_job_star
from cryosnake.pipeline.markers import make_alias_link, set_exit, write_node_markers
from cryosnake.pipeline.model import Node, Pipeline, Process, Status, job_name
from cryosnake.pipeline.types import node_id_of, process_id_of, process_label_of

PARTICLES, MICROGRAPHS = "ParticleGroupMetadata.star.relion", "MicrographGroupMetadata.star.relion"
MOVIES, COORDINATES = "MicrographMovieGroupMetadata.star.relion", "MicrographCoordsGroup.star.relion"
MAP = "DensityMap.mrc"


def add_job(folder: str, number: int, outputs: dict[str, str], inputs: tuple[str, ...] = (), *, alias: str = "",
            status: Status = Status.SUCCEEDED, files: dict[str, int] | None = None) -> str:
    """Add a job whose outputs (file -> node label) and other files (name -> bytes) exist; return its name."""
    name = job_name(folder, number)
    directory = Path(name)
    directory.mkdir(parents=True)
    pipeline = read_pipeline(PIPELINE_FILE) if Path(PIPELINE_FILE).exists() else Pipeline()
    type_id = process_id_of("", folder)
    pipeline = add_process(pipeline, Process(name, "", process_label_of(type_id), type_id, status=status))
    for file, label in outputs.items():
        pipeline = add_node(pipeline, Node(name + file, label, node_id_of(label)), name)
        (directory / file).write_text(f"{name}{file}")
    for node in inputs:
        if node not in pipeline.nodes:
            pipeline = add_node(pipeline, Node(node, MAP, node_id_of(MAP)))
    pipeline = connect(pipeline, inputs=[(node, name) for node in inputs])
    if alias:
        pipeline = set_alias(pipeline, name, alias)
        make_alias_link(Path(), pipeline.processes[name])
    for file, size in (files or {}).items():
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_bytes(file.encode()[:1] * size)
    write_job_star(directory / "job.star", type_id, process_label_of(type_id), False, {"do_queue": "No"})
    write_job_pipeline(directory / "job_pipeline.star", pipeline, name)
    (directory / "note.txt").write_text("a note\n")
    if status in (Status.SUCCEEDED, Status.FAILED, Status.ABORTED):
        set_exit(directory, status)
    write_pipeline(PIPELINE_FILE, pipeline)
    write_node_markers(Path(), pipeline)
    return name


def tree(folder: str | Path = ".") -> dict[str, tuple[str, bytes]]:
    """Return every file and link below a folder with its content, the project's bookkeeping apart."""
    found: dict[str, tuple[str, bytes]] = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if name.startswith((".cryosnake", ".pipeline_has_changed", "default_pipeline.star")):
            continue
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()).encode())
        elif path.is_file():
            found[name] = ("file", path.read_bytes())
    return found


def facts(pipeline: Pipeline) -> tuple[object, ...]:
    """Return all that a pipeline says, without order."""
    return (pipeline.counter, dict(pipeline.processes), dict(pipeline.nodes), set(pipeline.input_edges),
            set(pipeline.output_edges))
