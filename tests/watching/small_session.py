"""A stand-in for Snakemake that makes the planned files, nearly empty, and the small projects that it is used on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cryosnake.io.mrc import write_mrc
from cryosnake.processes import process
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Disposition
from cryosnake.project.planning.rule_values import pictures
from cryosnake.project.records.batches import Finished, batch_star, done_file, read_manifest
from cryosnake.project.records.file_stamps import stamp
from cryosnake.project.records.taken_inputs import taken_inputs
from cryosnake.project.run.commit import commit
from cryosnake.watching.calls import Call
from cryosnake.watching.lanes import Task
from cryosnake.watching.session_state import WatchOptions
from cryosnake.watching.snakemake_call import read_arguments

CONFIG = {
    "microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0, "dose_per_frame": 1.2},
    "batch_size": 3,
    "jobs": {"movies": {"type": "import", "movies": "Movies/*.mrcs", "settling_time": 0},
             "motion": {"type": "motioncorr", "movies": "movies"}},
}
MANIFEST = "Import/job001"


class Ended:
    """A process that has ended, or does so when `code` is set."""

    def __init__(self, code: int | None) -> None:
        self.code = code

    def poll(self) -> int | None:
        return self.code


class Snakemake:
    """Makes what is planned; remembers the config of each call, and does what `between` says when it ends."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.code = 0
        self.between: Callable[[int], None] = lambda number: None

    def __call__(self, words: Sequence[str], task: Task) -> Call:
        pairs = dict(word.split("=") for word in words[words.index("--config") + 1 :])
        values = {name: yaml.safe_load(value) for name, value in pairs.items()}
        self.calls.append(values)
        if self.code == 0:
            self._make({**yaml.safe_load(Path("config.yaml").read_text()), **values})
        self.between(len(self.calls))
        return Call(task, process(0), Ended(self.code))  # type: ignore[arg-type]

    def _make(self, raw: dict[str, Any]) -> None:
        plan = make_plan(parse_config(raw))
        commit(plan)
        for job in plan.jobs.values():
            if job.disposition in (Disposition.BELOW_GROWTH, Disposition.HELD, Disposition.OTHER_LANE):
                continue
            for number, key in job.batches.items():
                if not os.path.exists(batch_star(job.path, key)):
                    self._batch(job.path, number, key, read_manifest(MANIFEST)[number])
            for file in [] if job.disposition is Disposition.BATCHES_ONLY else job.files():
                Path(file).write_text("data_particles\n" + "1\n" * len(list(Path("Movies").iterdir())))
            for file in pictures(plan, job):
                Path(file).write_text("a picture")
            if not job.config.type.per_micrograph:
                taken_inputs(Path(job.path), {slot: Path(source.path) for slot, source in job.inputs.items()})

    def _batch(self, job: str, number: int, key: str, names: Sequence[str]) -> None:
        lines = [Finished(name, stamp(name), "failed" if "bad" in name else "ok", "is corrupt") for name in names]
        Path(done_file(job, number)).write_text("".join(f"{i.name}\t{i.stamp}\t{i.state}\t{i.reason}\n"
                                                        for i in lines))
        Path(batch_star(job, key)).write_text("data_\n")


def configure(config: dict[str, Any]) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(config))


def arrive(*names: str) -> None:
    for name in names:
        write_mrc(Path(f"Movies/{name}.mrcs"), np.zeros((2, 16, 16), np.float32), 1.0, stack=True)


def options(**changes: Any) -> WatchOptions:
    given = {"every": 0.01, "idle_stop": 0.005, "keep_free": 0.0} | changes
    return WatchOptions(read_arguments(given.pop("words", ())), **given)


def status() -> dict[str, Any]:
    return json.loads(Path("watch_status.json").read_text())


def with_classes(**options: Any) -> dict[str, Any]:
    """A project with a 2D classification, picking with its averages, and a second extraction."""
    return {**CONFIG, "jobs": {
        **CONFIG["jobs"],
        "picks": {"type": "autopick", "micrographs": "motion", "method": "log", "diameter": [10, 10]},
        "cut": {"type": "extract", "micrographs": "motion", "coordinates": "picks", "box_size": 16},
        "classes": {"type": "class2d", "particles": "cut", "particle_diameter": 9, **options},
        "again": {"type": "autopick", "micrographs": "motion", "method": "template", "references": "classes",
                  "diameter": [10, 10]},
        "finer": {"type": "extract", "micrographs": "motion", "coordinates": "again", "box_size": 16}}}
