"""Damaged files of bookkeeping, our own and of importers: refused by name or passed over, never a traceback."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cryosnake.cluster.importing import read_lane_files
from cryosnake.cluster.lane import read_lane
from cryosnake.errors import CryosnakeError
from cryosnake.io.completeness import check_movie_complete
from cryosnake.io.defects import read_defects
from cryosnake.io.movies import read_frames, write_movie_tiff
from cryosnake.io.star import read_star
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.job_star import read_job_star, read_output_nodes
from cryosnake.project.cleaning.bulk import run as clean_up
from cryosnake.project.cleaning.bulk.project_sizes import read_sizes, staleness
from cryosnake.project.config.config import parse_config
from cryosnake.project.config.reading import read_config_file
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.project.records.batches import read_done, read_manifest
from cryosnake.project.records.cleaned_files import RECORD, read_cleaned
from cryosnake.project.records.joined_tables import JOINED, joined_batches
from cryosnake.project.records.record import read_record
from cryosnake.project.records.regenerated_inputs import NEEDED, read_needed
from cryosnake.project.records.run_times import read_run_times, total
from cryosnake.project.run.kept_iterations import WAITING, drop_waiting
from cryosnake.project.schemes.files import read_scheme
from cryosnake.watching.owner import watcher
from cryosnake.watching.requests import obey_requests

JOB = "Extract/job005"
PROCESS = '{"host": "x", "pid": 1, "start": "3", "machine": "", "boot": "", "namespace": ""}'
LOOP = "\ndata_{}\n\nloop_\n{}\n"


def table(block: str, labels: list[str], *rows: str) -> str:
    return LOOP.format(block, "\n".join([*(f"_rln{label} #{i}" for i, label in enumerate(labels, 1)), *rows]))


RECORD_TEXT = json.dumps({"type": "extract", "name": "x", "stated": {"a": 1}, "parameters": {"a": 1}, "version": "1",
                          "inputs": {"m": "A/job001:m"}, "created": 1.0, "made_from": {
                              "m": {"path": "a", "size": 1, "time": 2, "digest": "x", "rows": 1, "batches": ["1"]}}})
LANE = {"kind": "relion", "name": "a", "template": "t", "submit": "s", "status": "s", "cancel": "c", "variables": {}}
INFO = {"name": "l", "qsub_cmd_tpl": "sbatch {{ script_path_abs }}", "qstat_cmd_tpl": "squeue", "qdel_cmd_tpl": "x"}
SCHEME = (table("scheme_floats", ["SchemeFloatVariableName", "SchemeFloatVariableValue"], "a 1")
          + table("scheme_jobs", ["SchemeJobNameOriginal", "SchemeJobName"], "j1 j1")
          + table("scheme_edges", ["SchemeEdgeInputNodeName", "SchemeEdgeOutputNodeName", "SchemeEdgeIsFork",
                                   "SchemeEdgeOutputNodeNameIfTrue", "SchemeEdgeBooleanVariable"], "WAIT j1 0 a b"))
PIPELINE = ("data_pipeline_general\n\n_rlnPipeLineJobCounter 3\n"
            + table("pipeline_processes", ["PipeLineProcessName", "PipeLineProcessAlias", "PipeLineProcessType",
                                           "PipeLineProcessStatus"], "Refine3D/job001/ None 10 2")
            + table("pipeline_nodes", ["PipeLineNodeName", "PipeLineNodeType"], "Refine3D/job001/map.mrc 6")
            + table("pipeline_output_edges", ["PipeLineEdgeProcess", "PipeLineEdgeToNode"],
                    "Refine3D/job001/ Refine3D/job001/map.mrc"))
# the file, its text, and what reads it
FILES: dict[str, tuple[str, str, Callable[[], object]]] = {
    "manifest": (f"{JOB}/manifest.tsv", "1\tMovies/a.tiff\n2\tMovies/b.tiff\n", lambda: read_manifest(JOB)),
    "done": (f"{JOB}/batches/0001.done", "a.mrc\t1:2 3:4\tok\t\nb.mrc\t\tfailed\tx\n", lambda: read_done(JOB, 1)),
    "cleaned": (f"{JOB}/{RECORD}", "#status\tSucceeded\na.mrc\t1\t2\nb/c.mrc\t3\t4\n", lambda: read_cleaned(JOB)),
    "needed": (f"{JOB}/{NEEDED}", "0001\tMotionCorr/job002/a.mrc\n\tb\n", lambda: read_needed(JOB)),
    "record": (f"{JOB}/cryosnake.json", RECORD_TEXT, lambda: read_record(Path(JOB))),
    "times": (f"{JOB}/run_times.tsv", "2026-11-26T14:05:00\t\tok\t1.0\t2.0\t3.0\t1\th\n",
              lambda: total(read_run_times(JOB))),
    "joined": (f"{JOB}/{JOINED}", '{"digest": "x", "batches": ["0001"]}', lambda: joined_batches(f"{JOB}/p.star", "x")),
    "superseded": (f"{JOB}/{WAITING}", "run_it001_data.star\nrun_it001_optimiser.star\n", lambda: drop_waiting(JOB)),
    "sizes": (".cryosnake/sizes.json", '{"measured": 1.0, "jobs": 3, "trash": 1, "other": 4, "folders": {"a": 3}}',
              lambda: (sizes := read_sizes()) and staleness(sizes)),
    "claim": (".cryosnake/run.json", PROCESS, running_claim),
    "watcher": (".cryosnake/watch.json", PROCESS, watcher),
    "request": (".cryosnake/retry/a.json", f'{{"job": "{JOB}", "rejected": false}}', obey_requests),
    "clean-up": (".cryosnake/cleanup/a.jsonl", '{"time": 1}\n{"job": "Class2D/job001/", "action": "clear"}\n'
                 '{"done": "Class2D/job001/"}\n', clean_up.unfinished_manifest),
    "scheme": ("S/scheme.star", SCHEME, lambda: read_scheme(Path("S"))),
    "lane": ("lane.json", json.dumps(LANE), lambda: read_lane(Path())),
    "info": ("info.json", json.dumps(INFO), lambda: read_lane_files([Path("info.json"), Path("script")], {}, {})),
    "script": ("template", "#SBATCH -n {{ num_cpu }}\nmpirun {{ run_cmd }}\n",
               lambda: read_lane_files([Path("good.json"), Path("template")], {}, {})),
    "RELION's script": ("relion", "#SBATCH -n XXXmpinodesXXX\nmpirun XXXcommandXXX\n",
                        lambda: read_lane_files([Path("relion")], {}, {})),
    "SerialEM's defects": ("defects.txt", "CameraSizeX 40\nCameraSizeY 24\nBadColumns 3 4\nUsableArea 0 0 23 39\n",
                           lambda: read_defects("defects.txt", (24, 40))),
    "defects": ("own.txt", "1 2 3 4\n10 10 2 2\n", lambda: read_defects("own.txt", (24, 40))),
    "pipeline": ("pipeline.star", PIPELINE, lambda: read_pipeline("pipeline.star")),
    "job.star": ("job.star", "data_job\n\n_rlnJobType 10\n_rlnJobIsContinue 0\n", lambda: read_job_star("job.star")),
    "late nodes": ("nodes.star", table("output_nodes", ["PipeLineNodeName", "PipeLineNodeType"], "a 1"),
                   lambda: read_output_nodes("nodes.star")),
    "table": ("a.star", table("micrographs", ["MicrographName", "DefocusU"], "a.mrc 1000.5", "b.mrc 2e3"),
              lambda: read_star("a.star")),
    "config": ("config.yaml", 'title: x\nmicroscope: {voltage: 300, spherical_aberration: 2.7, pixel_size: 1.0}\n'
               'jobs:\n  movies: {type: import, movies: "Movies/*.tiff"}\n',
               lambda: parse_config(read_config_file("config.yaml"))),
    "movie": ("m.tiff", "", lambda: check_movie_complete("m.tiff") or read_frames("m.tiff")),
}
PIECES = [b"\n", b"\t", b"'", b'"', b"\0", b"\xff", b"-1", b"9" * 30, b"nan", b"../x", b"[]", b"{}", b"null", b"\x1c",
          "٣".encode(), b"\r", b"1e999", b"[" * 9000, b'{"a":' * 9000, b"{{" * 3000, b"#", b"data_", b"loop_\n", b"_x "]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "S/j1").mkdir(parents=True)
    (tmp_path / "S/j1/job.star").write_text(FILES["job.star"][1])
    Path("script").write_text(FILES["script"][1])
    Path("good.json").write_text(json.dumps(INFO))
    write_movie_tiff("m.tiff", np.random.default_rng(0).poisson(5, (3, 16, 16)).astype("u1"))
    return tmp_path


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return the data with one to three places cut, changed, repeated, or filled with something else."""
    for _ in range(chance.choice([1, 1, 2, 3])):
        place, length = chance.randrange(len(data) + 1), chance.randrange(1, 30)
        numbers = list(re.finditer(rb"\d+", data)) or [None]
        number = chance.choice(numbers)
        data = chance.choice([
            data[:place], data[:place] + data[place + length:], data[:place] + chance.choice(PIECES) + data[place:],
            data[:place] + chance.randbytes(1) + data[place + 1:], data[:place] + data[place // 2:],
            data[:number.start()] + chance.choice([b"0", b"-1", b"x", b"1.5", b"9" * 20]) + data[number.end():]
            if number else b"", b"\n".join(chance.sample(lines := data.split(b"\n"), len(lines)))])
    return data


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_ends_in_no_traceback(project, name: str) -> None:
    file, text, read = FILES[name]
    path, chance = Path(file), random.Random(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    good = text.encode() or path.read_bytes()
    path.write_bytes(good)
    read()
    for _ in range(60):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged(good, chance))
        try:
            read()
        except CryosnakeError as error:
            assert path.name in str(error) or name in ("config", "script", "info", "scheme"), error
