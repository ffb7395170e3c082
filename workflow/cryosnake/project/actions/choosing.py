"""Choosing classes by number: what there is to choose from, and the choice, written to `decisions/<job>.yaml`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape, glob
from pathlib import Path
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.select import JOB as SELECT
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.types import type_folders
from cryosnake.project.actions.config_edit import change_job
from cryosnake.project.actions.relion_choices import ITERATION_END, RelionChoice, relion_choices
from cryosnake.project.config.config import parse_config
from cryosnake.project.config.decisions import Choice, Decision, add_decision, now, read_decisions
from cryosnake.project.config.text_edits import read_config
from cryosnake.project.locks.decisions_lock import deciding
from cryosnake.project.planning.choices import Waiting, can_choose, former_choice, waiting_for_you
from cryosnake.project.planning.plan import make_plan, may_choose
from cryosnake.project.planning.planned import Plan, PlannedJob, known_directory
from cryosnake.project.records.disk import job_directories
from cryosnake.project.records.final_marks import is_final
from cryosnake.project.records.record import JobRecord


@dataclass(frozen=True, kw_only=True)
class Class:
    """One class of what is chosen from; `share` is its part of the particles. What is not known is nan, or None."""

    number: int
    share: float
    particles: int | None
    resolution: float  # Å
    score: float


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What there is to choose from for a job of the config, and the numbers that it has for it now, if any.

    `files` are those that show the classes: the model, averages or maps. `relion` are choices from the same that were
    made in RELION. `settings` are the parameters of the config that say what else becomes of the chosen classes, with
    their values now: `recenter` of 2D classes, `regroup`.
    """

    job: str
    choice: Choice
    files: tuple[str, ...]
    classes: tuple[Class, ...]
    chosen: tuple[int, ...]
    remark: str = ""  # that the next run makes the classification again
    relion: tuple[RelionChoice, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()  # other parameters that leave classes out, in words


def offer_for(text: str) -> Offer:
    """Return what there is to choose from for a job.

    Parameters
    ----------
    text
        The name of a job of the config, its directory, or the classification that exactly one job chooses from.

    Raises
    ------
    CryosnakeError
        when it is no such job, or there is nothing to choose from yet
    """
    plan, records = _plan()
    offers: dict[str, Choice] = {}
    coming: set[str] = set()
    for job in plan.jobs.values():
        choice = can_choose(job, plan.jobs, records)
        if choice and not choice.digest:
            choice = former_choice(job, plan.jobs, records) or choice
            coming.add(job.name)
        offers |= {job.name: choice} if choice else {}
    job = plan.jobs[_name(text, plan, offers)]
    choice = offers[job.name]
    if not choice.digest:
        raise CryosnakeError(f"{job.name}: there is nothing to choose from yet, for its classification has not been "
                             "made; run snakemake first")
    remark = (f"the next run makes the classification again, and {job.name} then waits for another choice; write "
              f"{choice.made_on} in its place in config.yaml to stay with this one") if job.name in coming else ""
    known = next((one.classes for one in read_decisions(job.name) if one.digest == choice.digest
                  and (not choice.in_config or one.in_config == choice.in_config)), ())
    chosen = known or (() if choice.waits or remark else choice.in_config or ())
    files = _shown_in(choice)
    classes = _classes(choice.particles, files)
    members = [int(one.share > 0) if one.particles is None else one.particles for one in classes]
    return Offer(job=job.name, choice=choice, files=files, classes=classes, chosen=chosen, remark=remark,
                 settings=_settings(job), also=_other_limits(job), relion=relion_choices(choice, len(classes), members))


def numbers_of(text: str) -> list[int]:
    """Return the numbers of a text such as "1-5,8".

    Raises
    ------
    CryosnakeError
        when it is none
    """
    found: list[int] = []
    for word in text.replace(",", " ").split():
        first, dash, last = word.partition("-")
        if not all(part.isascii() and part.isdecimal() for part in ((first, last) if dash else (first,))):
            raise CryosnakeError(f"{text}: write numbers with commas and ranges, as in 1-5,8")
        if int(last or first) - int(first) > 10_000:
            raise CryosnakeError(f"{text}: a range of so many classes is a mistake")
        found += range(int(first), int(last or first) + 1)
    if not found:
        raise CryosnakeError(f"{text or '(nothing)'}: write numbers with commas and ranges, as in 1-5,8")
    return found


def choice_in_relion(offer: Offer, job: str) -> RelionChoice:
    """Return the choice that was made in a Select job of RELION.

    Raises
    ------
    CryosnakeError
        when there is none, or it can't be taken
    """
    found = next((one for one in offer.relion if one.job == job.rstrip("/")), None)
    if found is None:
        others = ", ".join(one.job for one in offer.relion) or "none"
        raise CryosnakeError(f"{job}: there is no choice of RELION from {offer.choice.made_on} that differs from ours; "
                             f"those with one: {others}")
    if found.problem:
        raise CryosnakeError(f"{found.job}/backup_selection.star can't be taken: {found.problem}")
    return found


def choose(offer: Offer, numbers: Sequence[int], settings: Mapping[str, Any] | None = None) -> Path:
    """Write which classes were chosen; return the file. Choices of before stay in it.

    `settings` that differ from those of the offer are written to config.yaml.

    Raises
    ------
    CryosnakeError
        for numbers of classes that there are not, a final job, the choice of another job, or settings that can't be
        written
    """
    changed = {name: value for name, value in (settings or {}).items() if offer.settings.get(name) != value}
    unknown = next((name for name in changed if name not in offer.settings), "")
    if unknown:
        raise CryosnakeError(f"{offer.job} has no {unknown} that could be set: it is for "
                             f"{'2D class averages' if unknown == 'recenter' else 'particles'} of a selection")
    chosen, there = tuple(sorted(set(numbers))), [one.number for one in offer.classes]
    wrong = [number for number in chosen if number not in there]
    if wrong or not chosen:
        raise CryosnakeError(f"{offer.choice.made_on} has no class {wrong[0] if wrong else ''}: its classes are "
                             f"{', '.join(map(str, there))}; `cryosnake choose {offer.job}` lists them")
    if offer.choice.single and len(chosen) > 1:
        raise CryosnakeError(f"{offer.job} takes the map of one class, not of {len(chosen)}: choose one, or add a job "
                             "for each")
    empty = next((one.number for one in offer.classes if one.number in chosen and one.share == 0), 0)
    if empty:
        raise CryosnakeError(f"class {empty} of {offer.choice.made_on} is empty; choose classes with particles")
    _refuse_final(offer, chosen, bool(changed))
    if changed:
        change_job(offer.job, changed)
    if set(chosen) == set(offer.choice.in_config or ()):
        chosen = offer.choice.in_config or ()  # in its order: the same job
    decision = Decision(classes=chosen, made_on=offer.choice.made_on, files=offer.choice.files,
                        digest=offer.choice.digest, in_config=offer.choice.in_config, date=now())
    with deciding(offer.job):
        return add_decision(offer.job, decision)


def project_waits() -> list[Waiting]:
    """Return each job of the project that waits for picks or a choice; none where no plan can be made."""
    try:
        config = parse_config(read_config())
        may_wait = any(job.type.by_hand or may_choose(job) for job in config.jobs.values())
        return waiting_for_you(make_plan(config)) if may_wait else []
    except CryosnakeError:
        return []


def _plan() -> tuple[Plan, dict[str, JobRecord | None]]:
    return make_plan(parse_config(read_config())), job_directories(sorted(type_folders()))


def _name(text: str, plan: Plan, offers: dict[str, Choice]) -> str:
    """Return the name of the job of the config for which is chosen."""
    if text in offers:
        return text
    path = plan.jobs[text].path if text in plan.jobs else find_job(text).name.rstrip("/")
    taken = {name: {one.job for one in plan.jobs[name].config.connections.values()} for name in offers}
    users = [name for name in offers if plan.jobs[name].path == path] or [
        name for name, choice in offers.items() if f"{choice.made_on}/".startswith(f"{path}/") or text in taken[name]]
    if len(users) == 1:
        return users[0]
    if users:
        raise CryosnakeError(f"{text}: {', '.join(users)} choose from it; name one of them")
    others = ", ".join(f"{name} (from {choice.made_on})" for name, choice in offers.items())
    raise CryosnakeError(f"{text} is not a job for which classes are chosen now; those of config.yaml are: "
                         f"{others or 'none; a selection has `type: select` and `particles:` of a classification'}")


def _settings(job: PlannedJob) -> dict[str, Any]:
    """Return the parameters that say what else becomes of chosen classes, with their values in the config."""
    if job.config.type is not SELECT or "model" not in job.inputs:
        return {}
    planar = "Class3D" not in job.inputs["model"].path
    values = job.config.parameters()
    return {name: values[name] for name in (("recenter", "regroup") if planar else ("regroup",))}


def _other_limits(job: PlannedJob) -> tuple[str, ...]:
    """Return a sentence for each parameter of the config that leaves out classes whoever chose them."""
    stated = {name: job.config.stated.get(name) for name in ("minimum_score", "minimal_class_size")}
    return tuple(f"{job.name} also has {name}: {value:g} in config.yaml, which leaves out classes with less; "
                 f"`cryosnake set {job.name} {name}=` removes it"
                 for name, value in stated.items() if value is not None)


def _refuse_final(offer: Offer, chosen: tuple[int, ...], settings: bool) -> None:
    plan, records = _plan()
    job = plan.jobs[offer.job]
    path = job.path if job.numbered else known_directory(job, records)
    if path and is_final(path) and (settings or set(chosen) != set(offer.chosen)) and not offer.remark:
        raise CryosnakeError(f"{path} ({offer.job}) is final, and another choice would take its place: remove the mark "
                             f"(`cryosnake mark {path} not-final`), or add a job with these classes to config.yaml")
    _refuse_twin(plan, job, offer, chosen)


def _refuse_twin(plan: Plan, job: PlannedJob, offer: Offer, chosen: tuple[int, ...]) -> None:
    """Refuse the choice of another job of the same type from the same: the config would have one job twice."""
    for other in plan.jobs.values():
        same = other.config.type is job.config.type and other.identity_inputs() == job.identity_inputs()
        if other.name != job.name and same and tuple(other.config.stated.get("classes") or ()) == chosen:
            raise CryosnakeError(f"{other.name} has the same classes of {offer.choice.made_on}: choose others, or use "
                                 f"{other.name} in the place of {job.name}")


def _shown_in(choice: Choice) -> tuple[str, ...]:
    """Return the files that show the classes: those that are chosen from, and what a job of RELION has beside them."""
    root = ITERATION_END.sub("", choice.particles)
    beside = [f"{root}_model.star", f"{root}_classes.mrcs", *sorted(glob(f"{escape(root)}_class[0-9][0-9][0-9].mrc"))]
    return tuple(dict.fromkeys([*choice.files, *(file for file in beside if os.path.exists(file))]))


def _classes(particles: str, files: Sequence[str]) -> tuple[Class, ...]:
    """Return the classes with their part of the particles, and what model.star says of them, where there is one."""
    from cryosnake.io.star import read_table  # here: only a choice needs pandas

    members = _members(particles)
    model = next((file for file in files if file.endswith("_model.star")), "")
    if not model and not members:
        raise CryosnakeError(f"{particles} has no classes (no rlnClassNumber): connect a classification")
    table = read_table(model, "model_classes", ["rlnReferenceImage"]).to_dict("list") if model else {}
    numbers = list(range(1, len(table["rlnReferenceImage"]) + 1)) if table else sorted(members)
    unknown = [float("nan")] * len(numbers)
    shares = table.get("rlnClassDistribution", unknown)
    if members:
        shares = [members[number] / members.total() for number in numbers]
    columns = (shares, table.get("rlnEstimatedResolution", unknown), table.get("rlnClassScore", unknown))
    return tuple(Class(number=number, share=float(share), particles=members[number] if members else None,
                       resolution=float(resolution), score=float(score))
                 for number, share, resolution, score in zip(numbers, *columns, strict=True))


def _members(path: str) -> Counter[int]:
    """Return the particles of each class of a particle table, none where it has no classes, or is not there."""
    from cryosnake.io.star import read_star

    rows = read_star(path).get("particles") if os.path.exists(path) else None
    known = rows is not None and "rlnClassNumber" in rows.columns
    return Counter(rows["rlnClassNumber"].astype(int).tolist() if known and rows is not None else [])


def looks_at(offer: Offer) -> list[str]:
    """Return the files in which the classes can be seen: a picture where there is one, and the averages or maps."""
    picture = offer.choice.picture
    return [*([picture] if picture and os.path.exists(picture) else []),
            *(file for file in offer.files if not file.endswith(".star"))]
