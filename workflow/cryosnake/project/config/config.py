"""config.yaml as checked data: the jobs, their parameters and connections.

Every mistake in a config is refused here, before anything runs, with the line, the nearest valid name and the remedy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from cryosnake import __version__
from cryosnake.errors import CryosnakeError
from cryosnake.jobs.kinds.running_options import KEEP_ITERATIONS, PICTURES
from cryosnake.jobs.model import JobType, Output, Parameter, Slot
from cryosnake.jobs.registry import job_types
from cryosnake.names import is_job_name
from cryosnake.pipeline.edit import alias_problem
from cryosnake.project.config.joins import JOIN, Joins, check_choice, check_join
from cryosnake.project.config.values import check_order, check_value, nearest
from cryosnake.project.locks.lanes import LANES

MICROSCOPE_KEYS = ("voltage", "spherical_aberration", "amplitude_contrast", "pixel_size", "dose_per_frame",
                   "pre_exposure", "gain", "gain_rotation", "gain_flip", "defects", "mtf")
VALUES = (
    Parameter("batch_size", int, 50, "Movies in a batch, at most.", minimum=1),
    Parameter("seal_after", float, 10.0, "How long movies wait for a full batch in `cryosnake watch`.", unit="min",
              minimum=0),
    Parameter("grow", float, 1.0, "A finished job that takes particles is made again, under a new number, when they "
              "have grown by this factor.", minimum=1),
    Parameter("superseded", str, "clear", "What becomes of jobs whose place one with more data has taken: keep; clear, "
              "iterations but the last go to the Trash; trash, all goes there.", choices=("keep", "clear", "trash")),
    KEEP_ITERATIONS,
    PICTURES,
)
# Switches that `cryosnake watch` sets on the command line of its own calls; no config file may
_LANE = Parameter("lane", str, "", "The part of the work for one call of Snakemake.", choices=("", *LANES))
_FULL_BATCHES = Parameter("full_batches", bool, False, "Start only full batches.")
BY_WATCHER = "CRYOSNAKE_WATCH"  # the environment variable by which such a call is known
INTERNAL_KEYS = (_LANE.name, "only", "hold", _FULL_BATCHES.name)
_MEMBERS = Parameter("workspaces", list[str], [], "Jobs of the config, or job directories.")
AT_LEAST = Parameter("at_least", int, 0, "Particles for which the job waits.", minimum=0)
TOP_KEYS = ("title", "version", "microscope", *(p.name for p in VALUES), "workspaces", "jobs")
JOB_KEYS = ("type", AT_LEAST.name)
CHOOSE = "choose"  # for numbers that a person chooses: none yet
CLASS_NUMBER = "rlnClassNumber"  # the column of such numbers
DECISIONS = "decisions"  # the project's folder of such choices
OTHER_RULES = ("_join", "_pictures")  # after a job's name: its rules in rules/ besides that of its program


@dataclass(frozen=True)
class Connection:
    """What fills an input slot: an output of a job of the config; where `job` is "", of a job directory, or a file."""

    job: str
    output: str
    path: str = ""


@dataclass(frozen=True)
class JobConfig:
    """One job of the config.

    `stated` are the parameters that the user wrote, or set for all jobs, and `places` their dotted keys in the config.
    """

    name: str
    type: JobType
    stated: Mapping[str, Any]
    connections: Mapping[str, Connection]
    _: KW_ONLY
    at_least: int = 0
    places: Mapping[str, str] = field(default_factory=dict, compare=False)

    def parameters(self) -> dict[str, Any]:
        """Return every parameter with its value, stated or default."""
        return {p.name: self.stated.get(p.name, p.default) for p in self.type.parameters}


@dataclass(frozen=True)
class Config:
    """A whole project, with each job after those that it depends on.

    `seal_after` (minutes) is how long movies wait for a full batch in `cryosnake watch`; with `full_batches` only full
    batches are started; a finished job that takes particles is made again, under a new number, only when they have
    grown by the factor `grow`; with `as_joined`, batches that are still to be joined do not count. `lane`, `only` and
    `hold` restrict one call of Snakemake to a part of the work, see `project/planning/parts.py`.
    """

    title: str
    batch_size: int
    jobs: Mapping[str, JobConfig] = field(default_factory=dict)
    workspaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name -> jobs, for clean-up
    _: KW_ONLY
    seal_after: float = 10.0
    full_batches: bool = False
    grow: float = 1.0
    superseded: str = "clear"
    pictures: bool = True
    lane: str = ""
    only: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    as_joined: bool = False

    def named_files(self) -> set[str]:
        """Return the files that parameters and slots name, which a pattern of movies may match, too."""
        named = {connection.path for job in self.jobs.values() for connection in job.connections.values()}
        for job in self.jobs.values():
            named |= {str(job.stated[one.name]) for one in job.type.parameters if one.file and one.name in job.stated}
        return {os.path.normpath(path) for path in named if path}


def parse_config(raw: Mapping[str, Any]) -> Config:
    """Return the checked config of a parsed config.yaml.

    Raises
    ------
    CryosnakeError
        for unknown keys, wrong values, cycles and connections that do not fit; the message starts with the key
    """
    _check_version(raw)
    stated = {key: value for key, value in raw.items() if key not in INTERNAL_KEYS} if isinstance(raw, Mapping) else raw
    _known(stated, TOP_KEYS, "config.yaml", "")
    _known(raw.get("microscope") or {}, MICROSCOPE_KEYS, "microscope", "microscope")
    jobs_raw = raw.get("jobs") or {}
    if not isinstance(jobs_raw, Mapping) or not jobs_raw:
        raise ConfigError("jobs", "there are no jobs; add a `jobs:` block (the sources have an example, config.yaml)")
    values = {p.name: check_value(p.name, p, raw.get(p.name, p.default), ConfigError)
              for p in (*VALUES, _LANE, _FULL_BATCHES)}
    del values[KEEP_ITERATIONS.name]  # of each job
    drafts = _drafts(jobs_raw, raw)
    return Config(title=str(raw.get("title", "")), jobs={name: drafts[name] for name in _order(drafts)},
                  workspaces=parse_workspaces(raw.get("workspaces"), drafts),
                  only=_listed(raw.get("only", "")), hold=_listed(raw.get("hold", "")), **values)


def _drafts(jobs: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, JobConfig]:
    """Return the checked jobs and the joins that lists ask for; a mistake in such a join is one in its list."""
    listed = Joins(jobs, ConfigError)
    try:
        drafts = {name: _job(name, body, {**raw, "jobs": listed.jobs}) for name, body in listed.jobs.items()}
        _check_aliases(drafts)
        for job in drafts.values():
            _check_connections(job, drafts)
            if job.type.name == JOIN:
                check_join(f"jobs.{job.name}", job.type, job.connections, ConfigError)
            joined = [slot for slot, source in job.connections.items() if source.job
                      and drafts[source.job].type.name == JOIN]
            check_choice(f"jobs.{job.name}", job.type, {*job.stated, *job.connections}, joined, ConfigError)
    except ConfigError as error:
        raise ConfigError(listed.place_of(error.key), error.message) from None
    return drafts


def _check_version(raw: Any) -> None:
    """Refuse a config that says that it needs a newer cryosnake, before its keys look like mistakes."""
    wanted = str(raw.get("version") or "0") if isinstance(raw, Mapping) else "0"
    if _numbers(wanted) > _numbers(__version__):
        raise ConfigError("version", f"this config is for cryosnake {wanted} or newer, and this is {__version__}: pip "
                          "install --upgrade cryosnake")


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _listed(text: Any) -> tuple[str, ...]:
    """Return the words of a list such as "a,b," from a command line."""
    return tuple(word for word in str(text).split(",") if word)


def parse_workspaces(raw: Any, jobs: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the workspaces of a config: named groups of its jobs, or of directories of any jobs of the project."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise ConfigError("workspaces", "must be names with lists of jobs, as in {first: [motion, ctf]}, not "
                          f"{raw!r}")
    found = {}
    for name, listed in raw.items():
        members = check_value(f"workspaces.{name}", _MEMBERS, listed, ConfigError)
        for job in members:
            if "/" not in job and job not in jobs:
                raise ConfigError(f"workspaces.{name}", f"there is no job called {job!r}{nearest(job, jobs)}; list "
                                  "jobs of this config, or directories such as Class2D/job012")
        found[str(name)] = tuple(members)
    return found


class ConfigError(CryosnakeError):
    """A mistake in config.yaml; `key` is its dotted path, from which its line is found."""

    def __init__(self, key: str, message: str) -> None:
        self.key, self.message = key, message
        super().__init__(f"{key}: {message}")


def _known(found: Any, allowed: tuple[str, ...], where: str, key: str) -> None:
    if not isinstance(found, Mapping):
        raise ConfigError(key or "config.yaml", f"{where} must be a mapping `key: value`, not {found!r}")
    for name in found:
        if name not in allowed:
            raise ConfigError(f"{key}.{name}" if key else str(name),
                              f"unknown key in {where}{nearest(str(name), allowed)}; known are {', '.join(allowed)}")


def _job(name: str, body: Any, raw: Mapping[str, Any]) -> JobConfig:
    key, all_jobs = f"jobs.{name}", raw["jobs"]
    if not isinstance(body, Mapping) or "type" not in body:
        raise ConfigError(key, "a job needs at least `type:`, as in {type: motioncorr, movies: movies}")
    types = job_types()
    if not isinstance(body["type"], str) or body["type"] not in types:
        raise ConfigError(f"{key}.type", f"there is no job type {body['type']!r}{nearest(str(body['type']), types)}; "
                          f"known are {', '.join(types)}")
    job_type = types[body["type"]]
    allowed = (*JOB_KEYS, *dict.fromkeys(slot.listed or slot.name for slot in job_type.inputs),
               *(p.name for p in job_type.parameters))
    listed = {slot.name for slot in job_type.inputs if slot.listed}
    _known({word: value for word, value in body.items() if word not in listed}, allowed,
           f"job {name} ({job_type.name})", key)
    stated, places = _stated(key, job_type, body, raw)
    check_order(job_type.parameters, stated, places.__getitem__, ConfigError)
    connections = {slot.name: _connection(f"{key}.{slot.listed or slot.name}", str(body[slot.name]), all_jobs)
                   for slot in job_type.inputs if body.get(slot.name) is not None}
    if job_type.declared:
        try:
            job_type.all_outputs({p.name: stated.get(p.name, p.default) for p in job_type.parameters})
        except ValueError as error:
            raise ConfigError(f"{key}.{job_type.declared}", str(error)) from None
    at_least = check_value(f"{key}.{AT_LEAST.name}", AT_LEAST, body.get(AT_LEAST.name, 0), ConfigError)
    return JobConfig(name, job_type, stated, connections, at_least=at_least, places=places)


def _stated(key: str, job_type: JobType, body: Mapping[str, Any], raw: Mapping[str, Any],
            ) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values that the config gives to parameters, and the dotted key of each."""
    stated: dict[str, Any] = {}
    places: dict[str, str] = {}
    microscope = raw.get("microscope") or {}
    for parameter in job_type.parameters:
        if parameter.name in body:
            where, value = f"{key}.{parameter.name}", body[parameter.name]
        elif parameter.microscope and parameter.microscope in microscope:
            where, value = f"microscope.{parameter.microscope}", microscope[parameter.microscope]
        elif parameter.config_key in raw:
            where, value = parameter.config_key, raw[parameter.config_key]
        elif parameter.required:
            remedy = f" or under `microscope: {{{parameter.microscope}: …}}`" if parameter.microscope else ""
            unit = f" ({parameter.unit})" if parameter.unit else ""
            raise ConfigError(key, f"{job_type.name} needs {parameter.name}{unit}: {parameter.help} Set it "
                              f"here{remedy}")
        else:
            continue
        if value is None and not parameter.required:
            continue
        value = [] if parameter.chosen_from and value == CHOOSE else value
        stated[parameter.name] = check_value(where, parameter, value, ConfigError)
        places[parameter.name] = where
    return stated, places


def _connection(key: str, text: str, all_jobs: Mapping[str, Any]) -> Connection:
    if "/" in text or text.endswith((".star", ".mrc", ".mrcs")):
        if set("{}") & set(text):
            raise ConfigError(key, f"{text}: Snakemake takes no file with braces in its name; rename or link it")
        place, _, output = text.partition(".")
        place = place.rstrip("/")
        return Connection("", output, place) if is_job_name(f"{place}/") else Connection("", "", text)
    job, _, output = text.partition(".")
    if job in all_jobs:
        return Connection(job, output)
    raise ConfigError(key, f"there is no job called {job!r}{nearest(job, all_jobs)}; a connection is a job's name, "
                      "job.output, a job directory such as Class2D/job012, or the path of a file")


def fitting_output(job: JobConfig, slot: Slot, wanted: str) -> Output | None:
    """Return the output of `job` that fills `slot`: the one called `wanted`, or the first of a fitting node type."""
    outputs = [o for o in job.type.all_outputs(job.parameters())
               if is_made(job, o) and (not wanted or o.name == wanted)]
    return next((o for o in outputs if o.node in slot.types), None)


def is_made(job: JobConfig, output: Output) -> bool:
    """Whether a job with these parameters and inputs makes this output."""
    return not output.when or bool(job.parameters().get(output.when)) or output.when in job.connections


def _check_connections(job: JobConfig, jobs: Mapping[str, JobConfig]) -> None:
    for slot in job.type.inputs:
        key, connection = f"jobs.{job.name}.{slot.listed or slot.name}", job.connections.get(slot.name)
        kinds = " or ".join(t.name for t in slot.types)
        if connection is None:
            if slot.required:
                raise ConfigError(f"jobs.{job.name}", f"{job.type.name} needs {slot.name} ({kinds}): {slot.help}")
            continue
        if connection.job and fitting_output(jobs[connection.job], slot, connection.output) is None:
            source = jobs[connection.job]
            offers = ", ".join(f"{source.name}.{o.name} ({o.node.name})" for o in
                               source.type.all_outputs(source.parameters()) if is_made(source, o))
            raise ConfigError(key, f"{slot.listed or slot.name} takes {kinds}, and {source.name} ({source.type.name}) "
                              f"offers {offers}")


def _check_aliases(jobs: Mapping[str, JobConfig]) -> None:
    seen: dict[str, str] = {}
    for name in jobs:
        plain = re.sub(r"\W", "_", name)
        other = seen.setdefault(plain, name)
        if other != name or (plain.rpartition("_")[0] in seen and plain.endswith(OTHER_RULES)):
            raise ConfigError(f"jobs.{name}", f"Snakemake and RELION cannot distinguish this name from {other!r} (or "
                              "the join or the pictures of another job); choose another")
        problem = alias_problem(name, ())
        if problem:
            raise ConfigError(f"jobs.{name}", f"RELION would not accept this name as the alias of the job: {problem}")


def _order(jobs: Mapping[str, JobConfig]) -> list[str]:
    """Return the names in the config's order, but each job after those that it depends on."""
    done: list[str] = []
    waiting = list(jobs)
    while waiting:
        ready = [n for n in waiting if all(c.job in ("", *done) for c in jobs[n].connections.values())]
        if not ready:
            raise ConfigError(f"jobs.{waiting[0]}", f"the jobs {', '.join(waiting)} depend on each other in a circle; "
                              "remove one connection")
        done.append(ready[0])
        waiting.remove(ready[0])
    return done
