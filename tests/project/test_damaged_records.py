"""Damaged files, our own and of users: refused by name or passed over; no traceback, no hang, no memory for nothing.

Each reader gets `MUTATIONS` damaged files: a few here, 50,000 in all by hand, with figures by reader:

    CRYOSNAKE_MUTATIONS=1430 python -m pytest -q -s tests/project/test_damaged_records.py
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from acquisition_records import epu, mdoc

from cryosnake.cluster.importing import read_lane_files
from cryosnake.cluster.lane import read_lane
from cryosnake.errors import CryosnakeError
from cryosnake.io.acquisition.beside import read_acquisition
from cryosnake.io.completeness import check_movie_complete
from cryosnake.io.coordinates.boxes import read_boxes
from cryosnake.io.defects import read_defects
from cryosnake.io.gain import read_gain
from cryosnake.io.movies import movie_info, read_frames, read_image, write_movie_tiff
from cryosnake.io.mrc import read_images, read_mrc, write_mrc
from cryosnake.io.recorded_pixel_size import recorded_pixel_size
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
    "SerialEM's record": ("r.tif.mdoc", mdoc(), lambda: read_acquisition("r.tif")),
    "EPU's record": ("e.xml", epu(), lambda: read_acquisition("e.tif")),
    "boxes": ("a.box", "10 12 8 8\n30\t2\t8\t8\n", lambda: read_boxes(Path("a.box"))),
    "MRC": ("a.mrc", "", lambda: (read_mrc("a.mrc"), read_images(["2@a.mrc"]), recorded_pixel_size("a.mrc"))),
    "MRC movie": ("m.mrcs", "", lambda: (movie_info("m.mrcs"), read_frames("m.mrcs", 1, 2))),
    "MRC of 4 bits": ("four.mrc", "", lambda: (movie_info("four.mrc"), read_frames("four.mrc"))),
    "TIFF of one directory": ("one.tif", "", lambda: (movie_info("one.tif"), read_frames("one.tif"))),
    "TIFF micrograph": ("mic.tif", "", lambda: read_image("mic.tif")),
    "EER": ("m.eer", "", lambda: check_movie_complete("m.eer") or read_frames("m.eer", eer_grouping=2)),
    "gain in TIFF": ("gain.tif", "", lambda: read_gain("gain.tif", (16, 16))),
    "gain in MRC": ("gain.mrc", "", lambda: read_gain("gain.mrc", (16, 16))),
    "movie": ("m.tiff", "", lambda: check_movie_complete("m.tiff") or read_frames("m.tiff")),
}
MUTATIONS = int(os.environ.get("CRYOSNAKE_MUTATIONS", "145"))  # of each of 37 readers
LONGEST, MOST = 5.0, 1 << 20  # seconds of one file; KiB more than before
PIECES = [b"\n", b"\t", b"'", b'"', b"\0", b"\xff", b"-1", b"9" * 30, b"nan", b"../x", b"[]", b"{}", b"null", b"\x1c",
          "٣".encode(), b"\r", b"1e999", b"[" * 9000, b'{"a":' * 9000, b"{{" * 3000, b"#", b"data_", b"loop_\n", b"_x "]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "S/j1").mkdir(parents=True)
    (tmp_path / "S/j1/job.star").write_text(FILES["job.star"][1])
    Path("script").write_text(FILES["script"][1])
    Path("good.json").write_text(json.dumps(INFO))
    write_images()
    return tmp_path


def write_images() -> None:
    """Write the files of `FILES` that are no text."""
    frames = np.random.default_rng(0).poisson(5, (3, 16, 16)).astype("u1")
    write_movie_tiff("m.tiff", frames)
    write_mrc("a.mrc", frames.astype("f4"), 1.5)
    write_mrc("m.mrcs", frames.astype("i2"), 1.5, stack=True)
    write_mrc("gain.mrc", frames[0].astype("f4"), 1.5)
    head = bytearray(Path("a.mrc").read_bytes()[:1024])
    struct.pack_into("<4i", head, 0, 16, 16, 3, 101)
    Path("four.mrc").write_bytes(bytes(head) + frames.tobytes()[:384])
    tifffile.imwrite("one.tif", frames, imagej=True, truncate=True)
    for name in ("mic.tif", "gain.tif"):
        tifffile.imwrite(name, frames[0].astype("f4"), photometric="minisblack")
    directory = b"".join(struct.pack("<2H2Q", tag, 4, 1, value) for tag, value in
                         ((256, 16), (257, 16), (259, 65001), (273, 16), (279, 8)))
    table = struct.pack("<Q", 5) + directory
    second = 24 + len(table) + 8
    Path("m.eer").write_bytes(b"II" + struct.pack("<3HQ", 43, 8, 0, 24) + bytes(8) + table + struct.pack("<Q", second)
                              + table + bytes(8))


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
    before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for _ in range(MUTATIONS):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged(good, chance))
        start = time.monotonic()
        try:
            read()
        except CryosnakeError as error:
            assert path.name in str(error) or name in ("config", "script", "info", "scheme"), error
        slowest = max(slowest, time.monotonic() - start)
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{name}: {MUTATIONS} files, the slowest {slowest:.3f} s, {more / 1024:.0f} MiB more")
    assert slowest < LONGEST and more < MOST
