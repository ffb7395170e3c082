"""What follows picking by hand: a picker that learns from the picks, picking with it, and extraction."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import starmap
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.io.movies import header_pixel_size
from cryosnake.pages.facts.jobs import JobFacts
from cryosnake.project.actions.picking import PickingOffer
from cryosnake.project.config.config import JobConfig, parse_config
from cryosnake.project.config.text_edits import argument, read_config

_USUAL_BOX = 256  # px, where the pixel size is not known


@dataclass(frozen=True, kw_only=True)
class JobAfter:
    """A job that follows, whether config.yaml has it, and what the project knows of it once it has run."""

    name: str
    type: str
    values: dict[str, Any]
    there: bool
    facts: JobFacts | None

    @property
    def command(self) -> str:
        """What adds it to config.yaml."""
        values = starmap(argument, self.values.items())
        return shlex.join(["cryosnake", "add", self.name, self.type, *values])


def jobs_after_picking(offer: PickingOffer, facts: Mapping[str, JobFacts]) -> list[JobAfter]:
    """Return the jobs that follow a job of type manualpick, those that config.yaml lacks as they may be added.

    `facts` are the project's jobs by their names in the config.
    """
    raw = read_config()
    jobs = parse_config(raw).jobs
    micrographs = raw["jobs"][offer.job]["micrographs"]
    diameter = [5.0 * round(offer.diameter * part / 5) for part in (0.9, 1.1)]
    wanted: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("picker", "trainpicker", "coordinates", {"diameter": diameter}),
        ("found", "autopick", "picker", {"micrographs": micrographs, "method": "trained", "diameter": diameter}),
        ("particles", "extract", "coordinates", {"micrographs": micrographs, "box_size": _box(offer)}))
    found: list[JobAfter] = []
    source = offer.job
    for base, type_name, slot, values in wanted:
        known = _fed_by(jobs, type_name, slot, source)
        name = known or _free(base, jobs)
        found.append(JobAfter(name=name, type=type_name, values={slot: source} | values, there=bool(known),
                              facts=facts.get(name)))
        source = name
    return found


def _fed_by(jobs: Mapping[str, JobConfig], type_name: str, slot: str, source: str) -> str:
    """Return the first job of a type that takes from a source by a slot, "" for none."""
    return next((name for name, job in jobs.items() if job.type.name == type_name and slot in job.connections
                 and job.connections[slot].job == source), "")


def _free(base: str, jobs: Mapping[str, JobConfig]) -> str:
    return next(name for name in (base, *(f"{base}_{n}" for n in range(2, len(jobs) + 3))) if name not in jobs)


def _box(offer: PickingOffer) -> int:
    """Return an even box (px) of one and a half diameters."""
    try:
        pixel_size = header_pixel_size(offer.micrographs[0].name)
    except (CryosnakeError, OSError, IndexError):
        pixel_size = 0.0
    return 8 * round(1.5 * offer.diameter / pixel_size / 8) if pixel_size else _USUAL_BOX
