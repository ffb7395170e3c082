"""Lists in slots: `particles: [first, second]` is what a job of type joinstar makes, which is added to the config.

Whoever asks for the same list gets the same job, and a job of type joinstar that the config has itself is taken where
its list is that. As RELION's, it takes a few tables: of a longer list the first ones are joined by a job of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryosnake.jobs.model import JobType, Slot
from cryosnake.jobs.registry import job_types

JOIN = "joinstar"
_Refuse = Callable[[str, str], Exception]
_List = tuple[str, tuple[str, ...]]  # the kind of its tables, and their connections in full


@dataclass(frozen=True)
class WithJoins:
    """The jobs of a config as data, with the joins that their lists ask for; `places` are the keys of those lists."""

    jobs: dict[str, Any]
    places: dict[str, str] = field(default_factory=dict)

    def place_of(self, key: str) -> str:
        """Return the key in the config's text of what a key of `jobs` is about: of a join, its list."""
        name = key.removeprefix("jobs.").partition(".")[0]
        return self.places.get(name, key)


def with_joins(jobs: Mapping[str, Any], refuse: _Refuse) -> WithJoins:
    """Return the jobs of a config with a connection in place of each list, and with the joins to which these lead.

    Raises
    ------
    Exception
        returned by `refuse(key, message)`: for a list in a slot that takes none, with one connection twice, or of
        which a job chooses classes
    """
    types = {name: job_types().get(str(body.get("type"))) for name, body in jobs.items() if isinstance(body, Mapping)}
    found = WithJoins({str(name): body for name, body in jobs.items()})
    known: dict[_List, str] = {}
    for name, job_type in types.items():
        for slot in _lists_of(job_type, jobs[name]) if job_type and job_type.name == JOIN else ():
            known.setdefault((slot.listed, _in_full(jobs[name][slot.listed], slot, jobs, types)), str(name))
    for name, job_type in types.items():
        for slot in _lists_of(job_type, jobs[name]) if job_type else ():
            _replace(found, known, str(name), slot, types, refuse)
    return found


def _lists_of(job_type: JobType, body: Mapping[str, Any]) -> list[Slot]:
    """Return the slots of a job that the config fills with lists; of slots that one list fills, the first."""
    return [slot for slot in job_type.inputs if (isinstance(body.get(slot.name), list) and not slot.listed)
            or (slot.name == f"{slot.listed}1" and body.get(slot.listed) is not None)]


def _replace(found: WithJoins, known: dict[_List, str], name: str, slot: Slot, types: Mapping[str, JobType | None],
             refuse: _Refuse) -> None:
    """Replace the list in a slot of a job by a connection to its join, or by the few that its slots take."""
    job_type, body = types[name], dict(found.jobs[name])
    assert job_type is not None
    key, stated = f"jobs.{name}.{slot.listed or slot.name}", body.pop(slot.listed or slot.name)
    items = [str(item) for item in (stated if isinstance(stated, list) else [stated])]
    kind = _kind(key, slot, items, refuse)
    full = _in_full(items, slot, found.jobs, types)
    if len(set(full)) < len(full):
        twice = next(item for number, item in enumerate(full) if item in full[:number])
        raise refuse(key, f"{twice} is in the list twice; leave it out once")
    slots = [one.name for one in job_type.inputs if slot.listed and one.listed == slot.listed] or [slot.name]
    excess = len(items) - len(slots) + 1
    if excess > 1:
        _refuse_choice(key, job_type, slot, body, refuse)
        items = [_join(found, known, (kind, full[:excess]), f"{name}_{slot.listed or slot.name}", key, refuse),
                 *items[excess:]]
    found.jobs[name] = {**body, **dict(zip(slots, items, strict=False))}


def _join(found: WithJoins, known: dict[_List, str], wanted: _List, name: str, key: str, refuse: _Refuse) -> str:
    """Return the name of the job that joins a list: a known one, or one that is added here."""
    if wanted in known:
        return known[wanted]
    if name in found.jobs:
        raise refuse(key, f"the job that joins this list would be called {name!r}, as another job is; rename that, or "
                     f"add a job {{type: {JOIN}, {wanted[0]}: [{', '.join(wanted[1])}]}} and connect it")
    known[wanted] = name
    found.jobs[name] = {"type": JOIN, wanted[0]: list(wanted[1])}
    found.places[name] = key
    job_type = job_types()[JOIN]
    (slot,) = _lists_of(job_type, found.jobs[name])
    _replace(found, known, name, slot, {JOIN: job_type, name: job_type}, refuse)
    return name


def _kind(key: str, slot: Slot, items: list[str], refuse: _Refuse) -> str:
    """Return what a list is of: movies, micrographs or particles."""
    kinds = list(dict.fromkeys(one.listed for one in job_types()[JOIN].inputs))
    kind = next((node.name for node in slot.types if node.name in kinds), "")
    if not items:
        raise refuse(key, f"the list is empty; name what fills {slot.listed or slot.name}")
    if not kind and len(items) > 1:
        instead = ("join the micrographs before they are picked, or the particles that were extracted with each"
                   if slot.name == "coordinates" else "connect one of them")
        raise refuse(key, f"{slot.name} takes one connection, for only {', '.join(kinds)} are joined; {instead}")
    return kind


def _in_full(items: Any, slot: Slot, jobs: Mapping[str, Any], types: Mapping[str, JobType | None]) -> tuple[str, ...]:
    """Return connections with their outputs, so that `classes` and `classes.particles` are seen to be the same."""
    found = []
    for item in map(str, items if isinstance(items, list) else [items]):
        job_type, body = types.get(item), jobs.get(item)
        outputs = [one.name for one in job_type.outputs if one.node in slot.types and (
            not one.when or body.get(one.when) or body.get(one.when.rstrip("1")))] if job_type and body else []
        found.append(f"{item}.{outputs[0]}" if outputs else item)
    return tuple(found)


def _refuse_choice(key: str, job_type: JobType, slot: Slot, body: Mapping[str, Any], refuse: _Refuse) -> None:
    """Refuse a list where a job chooses classes from it: their numbers are of several classifications."""
    for parameter in job_type.parameters:
        chosen = [name for name in (parameter.name, *parameter.chosen_from) if name != slot.name and name in body]
        if slot.name in parameter.chosen_from and chosen:
            raise refuse(key, f"{chosen[0]} is of one classification, and a list has particles of several; choose from "
                         "each by a job of its own, and join what these select")


def check_join(key: str, job_type: JobType, connections: Mapping[str, Any], refuse: _Refuse) -> None:
    """Refuse a join of fewer than two tables, or of several kinds, by what `refuse(key, message)` returns."""
    kinds = list(dict.fromkeys(slot.listed for slot in job_type.inputs))
    counts = [sum(slot.name in connections for slot in job_type.inputs if slot.listed == kind) for kind in kinds]
    if sum(count > 0 for count in counts) != 1 or max(counts) < 2:
        raise refuse(key, f"a join takes two or more lists of one kind, as in {{type: {JOIN}, particles: [first, "
                     f"second]}}; the kinds are {', '.join(kinds)}")
