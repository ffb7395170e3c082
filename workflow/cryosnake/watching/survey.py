"""Survey of a project: movies that have arrived, movies that wait, and the plan of what is to be made."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.project.config.config import Config, parse_config
from cryosnake.project.config.reading import read_config_file
from cryosnake.project.planning.before_run import refuse_unusable
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import NoMoviesYet, Plan, PlannedJob
from cryosnake.project.records.batches import read_manifest
from cryosnake.watching.preconditions import disk_trouble, movies_trouble
from cryosnake.watching.snakemake_call import SnakemakeArguments


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Result of a survey.

    `ready` are movies that are complete and in no batch yet, `incomplete` those not complete (name, reason), `oldest`
    the minutes that the first of the ready ones has waited. `full_only` says that the partial batch still waits.
    """

    plan: Plan | None = None
    title: str = ""
    full_only: bool = True
    imported: int = 0
    ready: tuple[str, ...] = ()
    incomplete: tuple[tuple[str, str], ...] = ()
    oldest: float = 0.0
    seal_after: float = 10.0
    trouble: str = ""


@dataclass
class FirstSeen:
    """When each waiting movie was first seen, by a clock that never jumps."""

    times: dict[str, float] = field(default_factory=dict)

    def update(self, names: Sequence[str]) -> None:
        """Keep only the waiting movies; new ones get the current time."""
        now = time.monotonic()
        self.times = {name: self.times.get(name, now) for name in names}

    def oldest(self) -> float:
        """Return the minutes since the first of them was complete, by the larger of two estimates; 0 if none."""
        now, clock = time.monotonic(), time.time()
        return max((max(now - seen, _since_change(name, clock)) for name, seen in self.times.items()), default=0.0) / 60


def _since_change(name: str, clock: float) -> float:
    """Return the seconds since a file arrived, by its ctime: copying programs can set only its modification time."""
    try:
        return clock - os.stat(name).st_ctime
    except OSError:
        return 0.0


def read_config(arguments: SnakemakeArguments) -> Config:
    """Return the project's config as Snakemake will see it.

    Raises
    ------
    CryosnakeError
        when it can't be read or contains a mistake
    """
    raw: dict[str, Any] = {}
    for path in arguments.config_files or ("config.yaml",):
        try:
            raw.update(read_config_file(path))
        except FileNotFoundError as error:
            raise CryosnakeError(f"{path}: {error.strerror}; a project needs its config.yaml") from None
    return parse_config({**raw, **arguments.config})


def survey(config: Config, seen: FirstSeen, *, seal_after: float, grow: float, keep_free: float,
         seal: bool = False, hold: Collection[str] = ()) -> Survey:
    """Return the survey; with `seal`, partial batches are formed whatever their age.

    While a long job reads the tables of `hold`, movies that were replaced wait.

    Raises
    ------
    CryosnakeError
        for a mistake in the config, a file of it that can't be used, or a damaged record
    """
    found = Survey(title=config.title, seal_after=seal_after)
    try:
        config = replace(config, grow=grow, hold=tuple(hold), as_joined=not seal)
        plan = make_plan(replace(config, full_batches=False))
    except NoMoviesYet as error:
        return replace(found, incomplete=error.waiting, trouble=disk_trouble(keep_free))
    imports = [job for job in plan.jobs.values() if job.movies]
    listed = {job.path: read_manifest(job.path) for job in imports}
    fresh = {job.path: _new_movies(job, listed[job.path]) for job in imports}
    ready = tuple(name for names in fresh.values() for name in names)
    seen.update(ready)
    found = replace(found, plan=plan, ready=ready, incomplete=plan.waiting, oldest=seen.oldest(),
                    imported=sum(len(names) for known in listed.values() for names in known.values()),
                    trouble=next(filter(None, [disk_trouble(keep_free), *(movies_trouble(_pattern(job), job.path)
                                                                          for job in imports)]), ""))
    full_only = not (seal or found.oldest >= seal_after)
    if full_only and ready:
        try:
            plan = make_plan(replace(config, full_batches=True))
        except NoMoviesYet:
            return replace(found, plan=None)
    refuse_unusable(plan, elsewhere=True)  # where jobs run is known to the calls of Snakemake
    return replace(found, plan=plan, full_only=full_only)


def _new_movies(job: PlannedJob, known: dict[int, list[str]]) -> list[str]:
    return [name for number, names in job.movies.items() if number not in known for name in names]


def _pattern(job: PlannedJob) -> str:
    parameters = job.config.parameters()
    return str(parameters.get("movies") or parameters.get("micrographs"))
