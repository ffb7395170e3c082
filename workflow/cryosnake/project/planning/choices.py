"""Choices: class numbers that a person chose hold only for what they were chosen from.

Class numbers mean something in one classification: made again, it has others. Such numbers are those of a parameter
(`select: classes: [1, 3]`) and those of an output (`reference: classes3d.class2`). They hold for contents that a file
of `decisions/` names by their digest, or for those that they were first applied to. For other contents the job waits.
A choice from an earlier classification that was not carried out yet is carried out on that.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cryosnake.jobs.model import MODEL, PARTICLES, REFERENCES_2D, Output
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status, job_number
from cryosnake.project.config.config import CLASS_NUMBER, JobConfig
from cryosnake.project.config.decisions import Choice, Decision, digest_of_files, read_decisions
from cryosnake.project.planning.by_hand import waiting_line
from cryosnake.project.planning.pinned import maker_of, recorded_job
from cryosnake.project.planning.planned import Plan, PlannedJob, Records, Source, known_directory
from cryosnake.project.records.cleaned_files import read_cleaned
from cryosnake.project.records.record import JobRecord

WAITS = "waits for a choice of classes"


@dataclass(frozen=True)
class _Pick:
    """Where a job has numbers: the slot whose contents they number, and a parameter, or an output with a number.

    `maker` makes what fills the slot; it is None for a file of the user.
    """

    slot: str
    maker: PlannedJob | None
    parameter: str = ""
    output: Output | None = None


def with_choice(job: PlannedJob, jobs: Mapping[str, PlannedJob], records: Records) -> PlannedJob:
    """Return a job with the numbers that hold for its input, or one that waits until somebody has chosen.

    Raises
    ------
    CryosnakeError
        for a decision file that is damaged, or that of another job
    """
    pick = _pick(job, jobs, records)
    if pick is None:
        return job
    numbers = _numbers(job.config, pick)
    decisions = [*read_decisions(job.name), *_recorded_decisions(job, pick, records)]
    if numbers is None and not decisions:
        return job
    choice, former = _choice(job, pick), _former(pick, records)
    settled = _settled(replace(job, choice=choice), pick, decisions, records,
                       may_bind=bool(choice.digest) or former is None)
    if settled is None and former:
        earlier = _moved(job, pick, former)
        settled = _settled(replace(earlier, choice=_choice(earlier, former)), former, decisions, records, may_bind=True)
        settled = None if settled and _is_carried_out(settled, records) else settled
    return settled or replace(job, why_held=WAITS, choice=replace(choice, waits=True))


def can_choose(job: PlannedJob, jobs: Mapping[str, PlannedJob], records: Records) -> Choice | None:
    """Return what can be chosen from for a job, None if it has no class numbers."""
    pick = _pick(job, jobs, records)
    return job.choice or (_choice(job, pick) if pick else None)


def former_choice(job: PlannedJob, jobs: Mapping[str, PlannedJob], records: Records) -> Choice | None:
    """Return what can be chosen from in the classification before the present one, None if there was none."""
    pick = _pick(job, jobs, records)
    former = _former(pick, records) if pick else None
    return _choice(_moved(job, pick, former), former) if pick and former else None


class Waiting(NamedTuple):
    """A job that waits for a person: to "pick" or to "choose", and a line that says so with the command."""

    job: str
    act: str
    line: str


def waiting_for_you(plan: Plan) -> list[Waiting]:
    """Return each job that waits for picks, or for a choice: from what, where to look, the command."""
    waiting = []
    for job in plan.jobs.values():
        choice = job.choice
        if job.config.type.by_hand and not job.decision:
            waiting.append(Waiting(job.name, "pick", waiting_line(job.name)))
        if choice and choice.waits:
            numbers = "N" if choice.single else "N,N,…"
            there = all(map(os.path.exists, choice.files))
            look = choice.picture if os.path.exists(choice.picture) else choice.files[-1]
            what = (f"choose from {choice.made_on} (look at {look})" if there else
                    "when its classification has been made, choose from it")
            line = f"waits for you: {job.name}: {what}: cryosnake choose {job.name} --classes {numbers}"
            waiting.append(Waiting(job.name, "choose", line))
    return waiting


def _pick(job: PlannedJob, jobs: Mapping[str, PlannedJob], records: Records) -> _Pick | None:
    """Return where a job has class numbers, or may have them; None if nowhere."""
    for parameter in job.config.type.parameters:
        slot = next((slot for slot in parameter.chosen_from if slot in job.inputs), "")
        if slot:
            return _Pick(slot, maker_of(job.inputs[slot], jobs, records), parameter=parameter.name)
    for slot, connection in job.config.connections.items():
        if connection.output[-1:].isdigit():
            maker = maker_of(job.inputs[slot], jobs, records)
            for output in maker.config.type.outputs if maker else ():
                values = maker.config.parameters() if maker else {}
                if output.each and values[output.each] > 1 and connection.output in (
                        each.name for each in output.all_numbers(values)):
                    return _Pick(slot, maker, output=output)
    return None


def _numbers(config: JobConfig, pick: _Pick) -> tuple[int, ...] | None:
    if pick.output:
        return (_number_of(config.connections[pick.slot].output),)
    return _stated_numbers(config.stated, pick.parameter)


def _stated_numbers(stated: Mapping[str, Any], parameter: str) -> tuple[int, ...] | None:
    """Return the numbers of a parameter; without it, those between the limits of the column of class numbers."""
    if stated.get(parameter) is None and stated.get("label") == CLASS_NUMBER and stated.get("maximum") is not None:
        return tuple(range(math.ceil(stated.get("minimum") or 1), math.floor(stated["maximum"]) + 1))
    return None if stated.get(parameter) is None else tuple(stated[parameter])


def _number_of(output: str) -> int:
    found = re.search(r"\d+$", output)
    return int(found[0]) if found else 0


def _choice(job: PlannedJob, pick: _Pick) -> Choice:
    source, maker = job.inputs[pick.slot], pick.maker
    outputs = maker.outputs() if maker else []
    numbered = [output.name for one in maker.config.type.outputs if one.each
                for output in one.all_numbers(maker.config.parameters())] if maker else []
    seen = [output for output in outputs if output.node in (MODEL, REFERENCES_2D) or output.name in numbered]
    files = [maker.file(output) for output in seen] if maker else []
    if not any(output.node is MODEL for output in seen):  # made elsewhere: what the numbers stand in
        files.insert(0, source.path)
    particles = next((maker.file(output) for output in outputs if output.node is PARTICLES), "") if maker else ""
    picture = f"{maker.path}/{maker.config.type.panels[0]}.png" if maker and maker.config.type.panels else ""
    return Choice(made_on=source.job or source.pinned or source.path, files=tuple(files),
                  in_config=_numbers(job.config, pick),
                  digest=digest_of_files(files), picture=picture,
                  particles=particles or source.path, single=pick.output is not None)


def _settled(job: PlannedJob, pick: _Pick, decisions: Sequence[Decision], records: Records, *,
             may_bind: bool) -> PlannedJob | None:
    """Return the job with numbers that hold for what it takes now, None if nobody has chosen from that.

    `may_bind` says whether numbers of the config that were never applied are applied to it.
    """
    choice = job.choice
    assert choice is not None
    for decision in decisions:
        if ((decision.digest == choice.digest if choice.digest else decision.made_on == choice.made_on)
                and (not choice.in_config or decision.in_config == choice.in_config)):
            decided = replace(_with_numbers(job, pick, decision.classes), decision=decision.digest)
            return decided if choice.digest or _has_results(decided, records) else None
    if not choice.in_config:
        return None
    source = job.inputs[pick.slot]
    bound = [record for path, record in records.items() if record and record.type == job.config.type.name
             and pick.slot in record.inputs and _applied(record, path)
             and _numbers_of(record, pick) == choice.in_config and _is_of_line(record, job, source, records)]
    place = source.job or source.pinned or source.path
    if any(_place(record.inputs[pick.slot]) == place and _is_untouched(record) for record in bound):
        return job if choice.digest or _has_results(job, records) else None
    if bound or any(decision.in_config == choice.in_config for decision in decisions):
        return None
    return job if may_bind else None


def _recorded_decisions(job: PlannedJob, pick: _Pick, records: Records) -> list[Decision]:
    """Return the decisions by which jobs of this name were made, the newest first: their file may have been lost."""
    made = [(job_number(path) or 0, record) for path, record in records.items() if record and record.decision
            and record.type == job.config.type.name and record.name == job.name and pick.slot in record.inputs]
    return [Decision(classes=_numbers_of(record, pick), made_on=_place(record.inputs[pick.slot]), files=(),
                     digest=record.decision, in_config=None, date="")
            for _, record in sorted(made, key=lambda item: -item[0])]


def _applied(record: JobRecord, path: str) -> bool:
    """Whether a job has read its input: it has at least started."""
    return bool(record.made_from) or exit_of(path) is not None


def _is_untouched(record: JobRecord) -> bool:
    return all(file.is_as_it_was() for file in record.made_from.values())


def _is_of_line(record: JobRecord, job: PlannedJob, source: Source, records: Records) -> bool:
    """Whether a record is of an earlier number of this job: by its name, or by the name of what it took."""
    if record.name == job.name:
        return True
    places = [_place(text) for text in record.inputs.values()]
    names = {made.name for place in places if (made := records.get(place))}
    here = records.get(source.job or source.pinned)
    return bool(here and here.name in names)


def _numbers_of(record: JobRecord, pick: _Pick) -> tuple[int, ...]:
    if pick.output:
        return (_number_of(record.inputs[pick.slot]),)
    return _stated_numbers(record.stated, pick.parameter) or ()


def _place(text: str) -> str:
    """Return the directory of a recorded input such as "Class2D/job016:particles", or the file that it is."""
    return text.rpartition(":")[0] or text


def _with_numbers(job: PlannedJob, pick: _Pick, numbers: tuple[int, ...]) -> PlannedJob:
    if pick.parameter:
        stated = dict(job.config.stated)
        if _stated_numbers(stated, pick.parameter) == numbers:
            return job
        if stated.get("label") == CLASS_NUMBER:  # the limits of its column were the choice before
            stated = {name: value for name, value in stated.items() if name not in ("label", "minimum", "maximum")}
        return replace(job, config=replace(job.config, stated={**stated, pick.parameter: list(numbers)}))
    assert pick.output is not None and pick.maker is not None
    connection, source = job.config.connections[pick.slot], job.inputs[pick.slot]
    output = pick.output.numbered(numbers[0])
    source = replace(source, path=pick.maker.file(output), output=output.name)
    connections = {**job.config.connections, pick.slot: replace(connection, output=output.name)}
    return replace(job, config=replace(job.config, connections=connections),
                   inputs={**job.inputs, pick.slot: source})


def _former(pick: _Pick, records: Records) -> _Pick | None:
    """Return the pick from the finished job before the present one: of its type and name, with an earlier number."""
    maker = pick.maker
    if maker is None:
        return None
    number = job_number(maker.path) or 0
    earlier = [path for path, record in records.items() if record and record.name == maker.name
               and record.type == maker.config.type.name and exit_of(path) == Status.SUCCEEDED
               and (not number or (job_number(path) or 0) < number)]
    path = maker.supersedes or max(earlier, key=lambda path: job_number(path) or 0, default="")
    record = records.get(path)
    found = recorded_job(path, record) if record else None
    return replace(pick, maker=found) if found and all(map(os.path.exists, found.files())) else None


def _moved(job: PlannedJob, pick: _Pick, former: _Pick) -> PlannedJob:
    """Return a job that takes from an earlier classification what it takes from the present one."""
    now, then = pick.maker, former.maker
    assert now is not None and then is not None
    files = {output.name: then.file(output) for output in then.outputs()}
    inputs = {slot: Source(files[source.output], "", source.output, pinned=then.path)
              if source.job == now.path and source.output in files else source
              for slot, source in job.inputs.items()}
    return replace(job, inputs=inputs)


def _is_carried_out(job: PlannedJob, records: Records) -> bool:
    """Whether the job of a choice was made, or failed by itself."""
    known = known_directory(job, records)
    return bool(known) and (exit_of(known) == Status.FAILED or _has_results(job, records))


def _has_results(job: PlannedJob, records: Records) -> bool:
    known = known_directory(job, records)
    return bool(known) and (all(map(os.path.exists, replace(job, path=known).files()))
                            or read_cleaned(known).status is not None)
