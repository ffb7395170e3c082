"""The form of a job as data: its fields with what may stand in them, the entry that they amount to, what is wrong."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import JobType, Parameter, Slot
from cryosnake.project.actions.config_edit import body_of
from cryosnake.project.building.config_jobs import name_problem, type_called, values_of, with_job
from cryosnake.project.config.config import AT_LEAST, Config, ConfigError, fitting_output, is_made, parse_config
from cryosnake.project.config.lines import line_of
from cryosnake.project.config.text_edits import FILE, argument, dumped, entry_text, read_config

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class Offer:
    """An output that fits a slot: what a config writes, and what it is."""

    value: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field: `kind` is bool, choice, number, text or slot; `default` is what holds where it is empty."""

    name: str
    kind: str
    value: str
    default: str
    help: str
    form: str = ""  # "a whole number", "numbers with commas"
    unit: str = ""
    range: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    advanced: bool = False
    offers: tuple[Offer, ...] = ()
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class JobForm:
    """A job as it stands in the form. `changes` says that it is a job of the config, and its name can't change here.

    `problem` is what is wrong with no field in particular; `follow` are the jobs that get new numbers with it.
    """

    job_type: JobType
    name: str
    name_problem: str
    changes: bool
    fields: tuple[Field, ...]
    problem: str
    entry: str
    command: str
    follow: tuple[str, ...] = ()
    new_number: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether a run would take it."""
        return not (self.problem or self.name_problem or any(one.problem for one in self.fields))


def broken_config() -> str:
    """Return what is wrong with config.yaml as it is, with the line, "" if nothing is; no jobs yet are no mistake."""
    try:
        raw = read_config()
        if raw.get("jobs"):
            parse_config(raw)
    except ConfigError as error:
        line = line_of(FILE, error.key)
        return f"{FILE}{f', line {line}' if line else ''}: {error}"
    except CryosnakeError as error:
        return str(error)
    return ""


def texts_of(name: str) -> dict[str, str]:
    """Return the texts that fields have for a job of the config as it is."""
    return {key: _text(value) for key, value in body_of(read_config(), name).items() if key != "type"}


def make_form(type_name: str, name: str, texts: Mapping[str, str], *, changes: bool) -> JobForm:
    """Return the form of a job from the texts of its fields; mistakes stand at their fields.

    Raises
    ------
    CryosnakeError
        when there is no such type
    """
    job_type = type_called(type_name)
    raw, config = _readable()
    known = {key: texts[key] for key in _keys(job_type) if key in texts}
    problems: dict[str, str] = {}
    values, unset = _values(type_name, known, name, problems)
    stated = dict(raw.get("jobs") or {}).get(name) if changes else None
    taken = name_problem(name, raw.get("jobs") or {}) if not changes else ""
    microscope = raw.get("microscope") or {}
    _find_missing(job_type, values, raw, problems)
    body = {"type": type_name, **values}
    problems = problems or _judged(raw, name if changes or not taken else "", body, changes=changes)
    fields = (*(_slot_field(slot, known, config, name if changes else "", problems) for slot in _slots(job_type)),
              *(_field(one, known, microscope, raw, problems) for one in (*job_type.parameters, AT_LEAST)))
    names = {one.name for one in fields}
    problem = next((words for key, words in problems.items() if key not in names), "")
    kept = {key: value for key, value in values.items() if not stated or stated.get(key) != value}
    gone = [key for key in unset if stated and key in stated]
    new_number = bool(stated) and any(_counts(job_type, key) for key in (*kept, *gone))
    return JobForm(job_type=job_type, name=name, name_problem=taken, changes=changes, fields=fields, problem=problem,
                   entry=entry_text(name or "NAME", body), values=kept if changes else values, unset=tuple(gone),
                   command=_command(name, type_name, kept if changes else values, gone, changes=changes),
                   new_number=new_number, follow=_follow(config, name) if changes else ())


def _readable() -> tuple[dict[str, Any], Config | None]:
    """Return the data of the config, and the config where it has no mistake."""
    try:
        raw = read_config()
        return raw, parse_config(raw) if raw.get("jobs") else None
    except ConfigError:
        return raw, None
    except CryosnakeError:
        return {}, None


def _keys(job_type: JobType) -> list[str]:
    return [*(one.listed or one.name for one in job_type.inputs), *(one.name for one in job_type.parameters),
            AT_LEAST.name]


def _slots(job_type: JobType) -> list[Slot]:
    return list({slot.listed or slot.name: slot for slot in reversed(job_type.inputs)}.values())[::-1]


def _values(type_name: str, texts: Mapping[str, str], name: str, problems: dict[str, str],
            ) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    unset: list[str] = []
    for key, text in texts.items():
        try:
            found, empty = values_of(type_name, [(key, text)], name)
        except ConfigError as error:
            problems[key] = error.message
            continue
        values |= found
        unset += empty
    return values, unset


def _find_missing(job_type: JobType, values: Mapping[str, Any], raw: Mapping[str, Any],
                  problems: dict[str, str]) -> None:
    """Say at each field what is required and missing, not only at the first."""
    microscope = raw.get("microscope") or {}
    for slot in job_type.inputs:
        key = slot.listed or slot.name
        if slot.required and key not in values:
            problems.setdefault(key, f"is needed: {' or '.join(kind.name for kind in slot.types)}")
    for one in job_type.parameters:
        if one.required and one.name not in values and one.microscope not in microscope and one.config_key not in raw:
            problems.setdefault(one.name, "is needed")


def _judged(raw: Mapping[str, Any], name: str, body: Mapping[str, Any], *, changes: bool) -> dict[str, str]:
    """Return what the config says against the job, by its field."""
    try:
        name = name or "new_job"
        wanted = {**raw, "jobs": {**(raw.get("jobs") or {}), name: body}} if changes else with_job(
            raw, name, str(body["type"]), {key: value for key, value in body.items() if key != "type"})[1]
        parse_config(wanted)
    except ConfigError as error:
        key = error.key.removeprefix(f"jobs.{name}").lstrip(".").partition("[")[0].partition(".")[0]
        if error.key.startswith(f"jobs.{name}"):
            return {key or "the job": error.message}
        return {error.key: str(error)}
    except CryosnakeError as error:
        return {FILE: str(error)}
    return {}


def _slot_field(slot: Slot, texts: Mapping[str, str], config: Config | None, changed: str,
                problems: Mapping[str, str]) -> Field:
    name = slot.listed or slot.name
    return Field(name=name, kind="slot", value=texts.get(name, ""), default="nothing", help=slot.help,
                 form=" or ".join(kind.name for kind in slot.types), required=slot.required,
                 offers=offers_for(slot, config, changed), problem=problems.get(name, ""))


def offers_for(slot: Slot, config: Config | None, changed: str = "") -> tuple[Offer, ...]:
    """Return the outputs of the config's jobs that fit a slot, newest first; not of what follows from a changed job."""
    if config is None:
        return ()
    without = {changed, *_follow(config, changed)} if changed else set()
    found = []
    for job in reversed(list(config.jobs.values())):
        if job.name in without:
            continue
        first = fitting_output(job, slot, "")
        for output in job.type.all_outputs(job.parameters()):
            if output.node in slot.types and is_made(job, output):
                value = job.name if output == first else f"{job.name}.{output.name}"
                found.append(Offer(value, f"{output.node.name} of {job.type.title}"))
    return tuple(found)


def all_offers(job_type: JobType, changed: str = "") -> list[tuple[Offer, tuple[str, ...]]]:
    """Return each output that fits any slot of a type, with the slots that it fits."""
    _, config = _readable()
    found: dict[Offer, list[str]] = {}
    for slot in _slots(job_type):
        for offer in offers_for(slot, config, changed):
            found.setdefault(offer, []).append(slot.listed or slot.name)
    return [(offer, tuple(names)) for offer, names in found.items()]


def _field(one: Parameter, texts: Mapping[str, str], microscope: Mapping[str, Any], raw: Mapping[str, Any],
           problems: Mapping[str, str]) -> Field:
    default = "not set" if one.default is None else _text(one.default)
    if one.microscope in microscope:
        default = f"{_text(microscope[one.microscope])}, from microscope"
    elif one.config_key in raw:
        default = f"{_text(raw[one.config_key])}, as for all jobs"
    kind = "bool" if one.kind is bool else "choice" if one.choices and one.kind is str else (
        "number" if one.kind in (int, float) else "text")
    return Field(name=one.name, kind=kind, value=texts.get(one.name, ""), default=default, help=one.help,
                 form="" if kind in ("bool", "choice") else _form(one), unit=one.unit,
                 range=_range(one), choices=one.choices, required=one.required,
                 advanced=one.advanced or one is AT_LEAST, problem=problems.get(one.name, ""))


def _form(one: Parameter) -> str:
    if get_origin(one.kind) is dict:
        return "names with values: {name: value}"
    if get_origin(one.kind) is list:
        count = f"{one.length} values" if one.length else "values"
        return f"{count} with commas" + (", or choose" if one.chosen_from else "")
    return _WORDS.get(one.kind, "text") if not get_args(one.kind) else "text"


def _range(one: Parameter) -> str:
    low, high = one.minimum, one.maximum
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"from {low:g}" if low is not None else f"up to {high:g}" if high is not None else ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    text = dumped(value)
    return text[1:-1] if isinstance(value, list) and not any(isinstance(one, str) for one in value) else text


def _counts(job_type: JobType, key: str) -> bool:
    """Whether another value makes another job."""
    return next((one.identity for one in job_type.parameters if one.name == key), key != AT_LEAST.name)


def _follow(config: Config | None, name: str) -> tuple[str, ...]:
    """Return the jobs that are made from one, directly or not, in the order of the config."""
    found = {name}
    for job in config.jobs.values() if config else ():
        if any(connection.job in found for connection in job.connections.values()):
            found.add(job.name)
    return tuple(one for one in config.jobs if one in found - {name}) if config else ()


def _command(name: str, type_name: str, values: Mapping[str, Any], gone: Iterable[str], *, changes: bool) -> str:
    words = [argument(key, value) for key, value in values.items()]
    words += [f"{key}=" for key in gone]
    return shlex.join(["cryosnake", *(["set", name or "NAME"] if changes else ["add", name or "NAME", type_name]),
                       *words])
