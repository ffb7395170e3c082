"""What a run would do before it does it: which jobs, why, where, how much, and what it may cost.

From the plan, as `snakemake -n` makes it; costs from what jobs of the same type took in this project. Writes nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.actions.status import recorded_batches
from cryosnake.project.building.stale_outputs import pending_of
from cryosnake.project.config.config import parse_config
from cryosnake.project.config.text_edits import read_config
from cryosnake.project.config.values import nearest
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob
from cryosnake.project.records.batches import read_done
from cryosnake.project.records.record import read_record
from cryosnake.project.records.run_times import read_run_times


@dataclass(frozen=True)
class Cost:
    """Core hours that a job may take: the median of `runs` earlier ones of its type, per micrograph where it has any.

    0 runs: no earlier run of this type in the project, and the hours are not known.
    """

    core_hours: float
    runs: int
    per: str  # "run" or "micrograph"


@dataclass(frozen=True, kw_only=True)
class PreviewedJob:
    """A job that would run: its name in the config, its directory ("" where it gets its number later), and why.

    `micrographs` and `batches` are those still to be done, 0 for a job that takes its input whole.
    """

    name: str
    type: str
    path: str
    why: str
    micrographs: int
    batches: int
    cost: Cost


@dataclass(frozen=True)
class RunPreview:
    """Jobs that would run, in the order of the plan, and (name, reason) of those that wait."""

    jobs: tuple[PreviewedJob, ...]
    held: tuple[tuple[str, str], ...]
    files: tuple[str, ...]  # what Snakemake is asked for, where jobs were named: of those that wait, what comes before

    @property
    def core_hours(self) -> float:
        """The sum of what is known."""
        return sum(job.cost.core_hours for job in self.jobs)


def preview_run(names: Collection[str] = ()) -> RunPreview:
    """Return what a run of the project in the working directory would do; with names, of these and what they need.

    Raises
    ------
    CryosnakeError
        when there is no config.yaml, it has mistakes, no plan can be made, or it has no job of a name
    """
    raw = read_config()
    if not raw:
        raise CryosnakeError("there is no config.yaml in this folder: add a job, and there is one")
    plan = make_plan(parse_config(raw))
    for name in names:
        if name not in plan.jobs:
            raise CryosnakeError(f"config.yaml has no job called {name!r}{nearest(name, plan.jobs)}")
    wanted = _needed(plan, names) if names else set(plan.jobs)
    jobs, running = [], set[str]()
    for job in plan.own:
        if job.name not in wanted or not job.numbered or job.disposition is Disposition.HELD:
            continue
        pending = pending_of(plan, job)
        from_running = sorted(up.name for up in plan.jobs.values() if up.name in running and up.path in job.takes())
        if pending or from_running:
            running.add(job.name)
            jobs.append(_previewed(plan, job, pending, from_running))
    held = tuple((job.name, job.why_held or "it waits for what comes before it") for job in plan.jobs.values()
                 if job.name in wanted and (job.disposition is Disposition.HELD or not job.numbered))
    return RunPreview(tuple(jobs), held, _asked_for(plan, names, running, dict(held)))


def _asked_for(plan: Plan, names: Collection[str], running: Collection[str], held: Collection[str]) -> tuple[str, ...]:
    """Return the files of the named jobs; where one of them waits, also of the jobs before it that would run."""
    asked = [*names] if not any(name in held for name in names) else [
        name for name in plan.jobs if name in running or (name in names and name not in held)]
    return tuple(file for name in asked for file in plan.jobs[name].files())


def _needed(plan: Plan, names: Collection[str]) -> set[str]:
    found, paths = set[str](), {plan.jobs[name].path for name in names}
    for job in reversed(list(plan.jobs.values())):  # each stands after what it takes from
        if job.path in paths:
            found.add(job.name)
            paths |= job.takes()
    return found


def _previewed(plan: Plan, job: PlannedJob, pending: list[str], from_running: list[str]) -> PreviewedJob:
    numbers = [number for number, star in zip(sorted(job.batches), job.batch_stars(), strict=True)
               if star in pending or from_running]
    movies = plan.jobs[job.stream].movies if job.stream in plan.jobs else job.movies
    micrographs = sum(len(movies.get(number, ())) for number in numbers)
    return PreviewedJob(name=job.name, type=job.config.type.name, path=job.path,
                        why=_why(job, pending, from_running), micrographs=micrographs,
                        batches=len(numbers), cost=cost_of(job.config.type.folder, micrographs))


def _why(job: PlannedJob, pending: list[str], from_running: list[str]) -> str:
    if job.forced:
        return "it was asked for again"
    if job.growth:
        return f"its input grew: {job.growth}"
    if job.new or not Path(job.path).is_dir():
        return _changed(job, from_running) or "new: it has not run"
    missing = [path for path in pending if not Path(path).exists()]
    if missing and len(missing) < len(job.files()) + len(job.batches):
        return f"not there: {_few(missing)}"
    if missing:
        return "it has not finished"
    if from_running:
        return f"made from {', '.join(from_running)}, to be made first"
    return f"older than its input: {_few(pending)}"


def _changed(job: PlannedJob, from_running: list[str]) -> str:
    """Return what differs from the job that has this one's name so far, "" where there is none."""
    known = read_pipeline_unlocked().by_alias.get(f"{job.config.type.folder}/{job.name}/") \
        if Path(PIPELINE_FILE).exists() else None
    record = read_record(Path(known.name)) if known else None
    if known is None or record is None:
        return ""
    values, inputs = job.config.parameters(), job.identity_inputs()
    changed = [f"{one.name} {_word(record.parameters.get(one.name))} → {_word(values[one.name])}"
               for one in job.config.type.parameters if one.identity
               and (one.name in job.config.stated or one.name in record.stated)
               and record.parameters.get(one.name) != values[one.name]]
    other = [slot for slot in {**record.inputs, **inputs} if record.inputs.get(slot) != inputs.get(slot)]
    if other and not changed and from_running:
        return f"made from {', '.join(from_running)}, to be made first"
    changed += [f"{slot} {record.inputs.get(slot, 'nothing')} → {inputs.get(slot, 'nothing')}" for slot in other]
    return f"other than {known.name.rstrip('/')}: {', '.join(changed)}" if changed else ""


def _word(value: object) -> str:
    return "not set" if value is None else str(value)


def _few(paths: list[str]) -> str:
    return ", ".join(paths[:2]) + (f" and {len(paths) - 2} more" if len(paths) > 2 else "")


def cost_of(folder: str, micrographs: int = 0) -> Cost:
    """Return what a job of a type, by its folder, may cost after the earlier ones in this project."""
    found = [one for path in Path(folder).glob("job[0-9]*") if not path.is_symlink()
             for one in _core_hours(str(path), per_micrograph=micrographs > 0)]
    if not found:
        return Cost(0.0, 0, "micrograph" if micrographs else "run")
    return Cost(statistics.median(found) * (micrographs or 1), len(found), "micrograph" if micrographs else "run")


def _core_hours(job: str, *, per_micrograph: bool) -> Iterator[float]:
    """Yield the core hours of a job's runs that ended well, together; per micrograph where these are wanted."""
    runs = [run for run in read_run_times(job) if run.outcome == "ok"]
    done = sum(one.state == "ok" for number in recorded_batches(job) for one in read_done(job, number).values())
    if runs and (done or not per_micrograph):
        yield sum(run.cpu_seconds for run in runs) / 3600 / (done if per_micrograph else 1)
