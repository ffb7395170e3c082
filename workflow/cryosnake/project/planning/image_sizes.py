"""Sizes of the images that fill a slot, from the plan and a few headers, before they have been made.

The movies of an import tell it: motion correction bins them, extraction cuts boxes out of them, other programs of
ours keep them as they are. A STAR file from outside tells it by its optics table and the first image that it lists.
What other programs make is not known.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from cryosnake.errors import CryosnakeError
from cryosnake.io.completeness import EER_NAMES
from cryosnake.pipeline.star_text import Block, parse_blocks
from cryosnake.project.planning.named_files import HEAD, look_at
from cryosnake.project.planning.planned import Plan, PlannedJob

# Slots whose images a job's results have, too; of a join, the first
_PASSED_ON = ("micrographs", "particles", "movies", "micrographs1", "particles1", "movies1")
_NAMES = ("rlnMicrographName", "rlnMicrographMovieName")


@dataclass(frozen=True)
class Images:
    """Images of one kind: (width, height) in px of some of them, and their pixel size in Å; () and 0 if not known."""

    sizes: tuple[tuple[float, float], ...] = ()
    pixel_size: float = 0.0
    eer: bool = False

    @property
    def side(self) -> float:
        """The shorter side of the largest, in px."""
        return max((min(size) for size in self.sizes), default=0.0)


def images_of(plan: Plan, job: PlannedJob, slot: str) -> Images:
    """Return what is known of the images that fill a slot of a job."""
    source = job.inputs.get(slot)
    if source is None:
        return Images()
    return _made_by(plan, plan.at(source.job)) if source.job else _listed_in(source.path)


def some_movies(job: PlannedJob) -> list[str]:
    """Return the first, the middle and the last file of an import: one of them may be unlike the others."""
    names = [name for batch in job.movies.values() for name in batch]
    return list(dict.fromkeys([names[0], names[len(names) // 2], names[-1]])) if names else []


def _made_by(plan: Plan, job: PlannedJob) -> Images:
    values = job.config.parameters()
    if not job.config.type.program.startswith("cryosnake.programs."):
        return Images()
    if not job.config.type.inputs:
        names = some_movies(job)
        sizes = tuple(look.size for look in map(look_at, names) if look.size)
        return Images(sizes, values["pixel_size"], eer=any(name.lower().endswith(EER_NAMES) for name in names))
    if "box_size" in values:
        box, side = values["box_size"], values["rescale"] or values["box_size"]
        return Images(((side, side),), images_of(plan, job, "micrographs").pixel_size * box / side)
    found = next((images_of(plan, job, slot) for slot in _PASSED_ON if slot in job.inputs), Images())
    if "bin_factor" in values:  # the pixel size of EER movies is stated for upsampled pixels
        factor = (2 ** (values["eer_upsampling"] - 1) if found.eer else 1) / values["bin_factor"]
        found = replace(found, sizes=tuple((x * factor, y * factor) for x, y in found.sizes),
                        pixel_size=found.pixel_size * values["bin_factor"], eer=False)
    return found


def _listed_in(path: str) -> Images:
    """Return what the first optics group and the first row of a STAR file say."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD).decode(errors="replace")
        blocks = parse_blocks(head if len(head) < HEAD else head.rpartition("\n")[0], path)
        optics = blocks.pop("optics")
        box, pixel_size = _number(optics, "rlnImageSize"), _number(optics, "rlnImagePixelSize")
        if box:
            return Images(((box, box),), pixel_size)
        pixel_size = _number(optics, "rlnMicrographPixelSize") or _number(optics, "rlnMicrographOriginalPixelSize")
        name = next((text for block in blocks.values() for label in _NAMES if (text := block.value(label))), "")
        size = look_at(name).size if name and os.path.exists(name) else None
        return Images((size,) if size else (), pixel_size, eer=name.lower().endswith(EER_NAMES))
    except (OSError, CryosnakeError, KeyError, ValueError):
        return Images()


def _number(optics: Block, label: str) -> float:
    value = float(optics.value(label) or 0)
    return value if 0 < value < float("inf") else 0.0
