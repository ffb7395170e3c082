"""A job of the config that is picked by hand: its micrographs, the picks to start from, and who takes from it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.types import type_folders
from cryosnake.project.config.config import parse_config
from cryosnake.project.config.picked import picks_folder
from cryosnake.project.config.text_edits import read_config
from cryosnake.project.planning.by_hand import last_made, users_of
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Plan
from cryosnake.project.records.batches import read_done, revisions
from cryosnake.project.records.disk import job_directories


@dataclass(frozen=True, kw_only=True)
class PickingJob:
    """`folder` has its decisions, `directory` is its newest job directory ("" for none); `start` a file by micrograph.

    `counts` are the numbers of these picks by file, as far as the job that made them has recorded them.
    `users` are the jobs that have begun and take from that directory.
    """

    name: str
    folder: str
    directory: str
    micrographs: Mapping[str, None]  # in their order
    start: Mapping[str, str]
    counts: Mapping[str, int]
    start_origin: str
    diameter: float
    users: Sequence[str]

    def like(self, others: Iterable[str]) -> dict[str, str]:
        """Return which of the micrographs others are, or are of the same movie as; those that are none are left out."""
        from cryosnake.io.paths import MicrographNames

        table = MicrographNames(self.micrographs)
        return {other: like[0] for other in others if len(like := table.like(other)) == 1}


def picking_job(text: str) -> PickingJob:
    """Return the job with this name in the config, or in this directory.

    Raises
    ------
    CryosnakeError
        when it is no job of type manualpick, or its micrographs have not been made yet
    """
    plan, records = make_plan(parse_config(read_config())), job_directories(sorted(type_folders()))
    job = plan.jobs[_name(text, plan)]
    directory = last_made(job, records)
    source = job.inputs.get("coordinates")
    start = _listed(source.path) if source else {}
    origin = "relion" if source and source.path.startswith("ManualPick/") else "automatic"
    counts = _recorded_counts(start, os.path.dirname(source.path)) if source else {}
    names = _micrographs(job.name, job.inputs["micrographs"].path)
    return PickingJob(name=job.name, folder=picks_folder(job.name), directory=directory, micrographs=names,
                      start=_of_micrographs(start, names), start_origin=origin, counts=counts,
                      diameter=float(job.config.parameters()["diameter"]),
                      users=users_of(directory, records) if directory else [])


def _name(text: str, plan: Plan) -> str:
    known = [job.name for job in plan.jobs.values() if job.config.type.by_hand]
    if text in known:
        return text
    process = find_job(text) if text not in plan.jobs else None
    found = next((name for name in known if (process and plan.jobs[name].path == process.name.rstrip("/"))
                  or (process and process.short_alias == name)), "")
    if not found:
        raise CryosnakeError(f"{text} is not a job that is picked by hand; those of config.yaml are: "
                             f"{', '.join(known) or 'none; add one, as manual: {type: manualpick, micrographs: ctf}'}")
    return found


def _micrographs(job: str, table: str) -> dict[str, None]:
    from cryosnake.io.paths import usual_name
    from cryosnake.io.star import read_star

    if not os.path.exists(table):
        raise CryosnakeError(f"{job}: its micrographs have not been made yet (no {table}); run snakemake first")
    rows = next((rows for block, rows in read_star(table).items() if "rlnMicrographName" in rows), None)
    if rows is None:
        raise CryosnakeError(f"{table} lists no micrographs (no rlnMicrographName); connect a job that does")
    return dict.fromkeys(map(usual_name, rows["rlnMicrographName"].map(str)))


def _listed(path: str) -> dict[str, str]:
    from cryosnake.io.coordinates.lists import listed_coordinates

    return listed_coordinates(Path(path)) if os.path.exists(path) else {}


def _recorded_counts(start: Mapping[str, str], job: str) -> dict[str, int]:
    """Return the number of picks in each file of a job of ours, from the records of its batches ("312 picks")."""
    items = [item for number in revisions(job) for item in read_done(job, number).values() if item.state == "ok"]
    words = {item.name: item.reason.split() for item in items if item.name in start}
    return {start[name]: int(said[0]) for name, said in words.items() if said[1:2] == ["picks"] and said[0].isdecimal()}


def _of_micrographs(start: Mapping[str, str], names: Mapping[str, None]) -> dict[str, str]:
    """Return the coordinate file of each micrograph, also where it was picked on another micrograph of its movie."""
    from cryosnake.io.paths import MicrographNames

    table = MicrographNames(start)
    return {name: start[like[0]] for name in names if start and len(like := table.like(name)) == 1}
