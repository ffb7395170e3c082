"""Lists in slots: `particles: [first, second]` is what a job of type joinstar makes, which is added to the config.

Whoever asks for the same list gets the same job, and a job of type joinstar that the config has itself is taken where
its list is that. As RELION's, it takes a few tables: of a longer list the first ones are joined by a job of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from cryosnake.jobs.model import JobType, Slot
from cryosnake.jobs.registry import job_types

JOIN = "joinstar"
_Refuse = Callable[[str, str], Exception]


class Joins:
    """The jobs of a config as data, with a connection in place of each list, and the joins to which these lead.

    Attributes
    ----------
    jobs : dict
        The jobs by name, those that lists ask for included.
    places : dict
        Of these, the key of the list in the config, such as "jobs.classes.particles".
    """

    def __init__(self, jobs: Mapping[str, Any], refuse: _Refuse) -> None:
        """Replace the lists; raises what `refuse(key, message)` returns, for one that can't be joined."""
        self.jobs = {str(name): body for name, body in jobs.items()}
        self.places: dict[str, str] = {}
        self._refuse = refuse
        self._types = {name: job_types().get(str(body.get("type"))) for name, body in self.jobs.items()
                       if isinstance(body, Mapping)}
        self._known: dict[tuple[str, ...], str] = {}  # name of the join by the kind of its tables, and these in full
        filled = [(name, slot) for name, job_type in self._types.items() if job_type
                  for slot in _lists_of(job_type, self.jobs[name])]
        for name, slot in filled:
            if slot.listed:
                self._known.setdefault((slot.listed, *self._in_full(_items(self.jobs[name][slot.listed]), slot)), name)
        for name, slot in filled:
            self._replace(name, slot)

    def place_of(self, key: str) -> str:
        """Return the key in the config's text of what a key of `jobs` is about: of a join, its list."""
        return self.places.get(key.removeprefix("jobs.").partition(".")[0], key)

    def _replace(self, name: str, slot: Slot) -> None:
        """Replace the list in a slot of a job by a connection to its join, or by as many as its slots take."""
        job_type, body, word = self._types[name], dict(self.jobs[name]), slot.listed or slot.name
        assert job_type is not None
        key, items = f"jobs.{name}.{word}", _items(body.pop(word))
        kind = self._kind(key, slot, items)
        full = self._in_full(items, slot)
        if len(set(full)) < len(full):
            twice = next(item for number, item in enumerate(full) if item in full[:number])
            raise self._refuse(key, f"{twice} is in the list twice; leave it out once")
        slots = [one.name for one in job_type.inputs if slot.listed and one.listed == slot.listed] or [slot.name]
        excess = len(items) - len(slots) + 1
        if excess > 1:
            items = [self._join(kind, full[:excess], f"{name}_{word}", key), *items[excess:]]
        self.jobs[name] = {**body, **dict(zip(slots, items, strict=False))}

    def _join(self, kind: str, items: tuple[str, ...], name: str, key: str) -> str:
        """Return the name of the job that joins a list: a known one, or one that is added here."""
        if (kind, *items) in self._known:
            return self._known[kind, *items]
        if name in self.jobs:
            raise self._refuse(key, f"the job that joins this list would be called {name!r}, as another job is; rename "
                               f"that, or add a job {{type: {JOIN}, {kind}: [{', '.join(items)}]}} and connect it")
        self._known[kind, *items] = name
        self.jobs[name] = {"type": JOIN, kind: list(items)}
        self.places[name] = key
        self._types[name] = job_type = job_types()[JOIN]
        self._replace(name, _lists_of(job_type, self.jobs[name])[0])
        return name

    def _kind(self, key: str, slot: Slot, items: list[str]) -> str:
        """Return what a list is of: movies, micrographs or particles; "" for one of one item, of anything."""
        kinds = list(dict.fromkeys(one.listed for one in job_types()[JOIN].inputs))
        kind = next((node.name for node in slot.types if node.name in kinds), "")
        if not items:
            raise self._refuse(key, f"the list is empty; name what fills {slot.listed or slot.name}")
        if not kind and len(items) > 1:
            instead = ("join the micrographs before they are picked, or the particles that were extracted with each"
                       if slot.name == "coordinates" else "connect one of them")
            raise self._refuse(key, f"{slot.name} takes one connection, for only {', '.join(kinds)} are joined; "
                               f"{instead}")
        return kind

    def _in_full(self, items: list[str], slot: Slot) -> tuple[str, ...]:
        """Return connections with their outputs, so that `classes` and `classes.particles` are seen to be the same."""
        found = []
        for item in items:
            job_type, body = self._types.get(item), self.jobs.get(item)
            outputs = [one.name for one in job_type.outputs if one.node in slot.types and (
                not one.when or body.get(one.when) or body.get(one.when.rstrip("1")))] if job_type and body else []
            found.append(f"{item}.{outputs[0]}" if outputs else item)
        return tuple(found)


def _lists_of(job_type: JobType, body: Mapping[str, Any]) -> list[Slot]:
    """Return the slots of a job that the config fills with lists; of slots that one list fills, the first."""
    return [slot for slot in job_type.inputs if (isinstance(body.get(slot.name), list) and not slot.listed)
            or (slot.name == f"{slot.listed}1" and body.get(slot.listed) is not None)]


def _items(stated: Any) -> list[str]:
    return [str(item) for item in (stated if isinstance(stated, list) else [stated])]


def check_join(key: str, job_type: JobType, connections: Mapping[str, Any], refuse: _Refuse) -> None:
    """Refuse a join of fewer than two tables, or of several kinds, by what `refuse(key, message)` returns."""
    kinds = list(dict.fromkeys(slot.listed for slot in job_type.inputs))
    counts = [sum(slot.name in connections for slot in job_type.inputs if slot.listed == kind) for kind in kinds]
    if sum(count > 0 for count in counts) != 1 or max(counts) < 2:
        raise refuse(key, f"a join takes two or more lists of one kind, as in {{type: {JOIN}, particles: [first, "
                     f"second]}}; the kinds are {', '.join(kinds)}")


def check_choice(key: str, job_type: JobType, given: Collection[str], joined: Collection[str], refuse: _Refuse) -> None:
    """Refuse that a job chooses classes from a join: the numbers there are of several classifications.

    `given` are the parameters and slots of the job that the config fills, `joined` those slots that a join fills.
    """
    for parameter in job_type.parameters:
        for slot in set(parameter.chosen_from) & set(joined):
            chosen = [name for name in (parameter.name, *parameter.chosen_from) if name in given and name != slot]
            if chosen:
                raise refuse(f"{key}.{slot}", f"{chosen[0]} is of one classification, and joined particles are of "
                             "several; choose from each by a job of its own, and join what these select")
