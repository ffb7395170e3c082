"""Stamps of a micrograph's input: sizes and times of the upstream products, as one line of text.

When a product upstream is made again, its stamp changes, and only what was made from it is made again. A cleaned
product counts with the stamp that it had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cryosnake.io.paths import MicrographNames
from cryosnake.io.star import read_star
from cryosnake.jobs.model import COORDINATES, JobType
from cryosnake.jobs.registry import by_folder
from cryosnake.project.planning.planned import PER_MICROGRAPH
from cryosnake.project.records.batches import product_files
from cryosnake.project.records.cleaned_files import read_cleaned
from cryosnake.project.records.movies import stamp

Stamper = Callable[[str], str]


def stamper(job_type: JobType, inputs: Mapping[str, Path]) -> Stamper:
    """Return a function from a micrograph's name in the input STAR to the stamp of all that its products depend on."""
    upstream: list[tuple[str, tuple[str, ...]]] = []
    listed: list[tuple[MicrographNames, dict[str, str]]] = []
    whole: list[str] = []
    for slot, path in inputs.items():
        types, products = job_type.slot(slot).types, _products_of(path)
        if products and PER_MICROGRAPH.intersection(types):
            upstream.append(products)
        elif COORDINATES in types:
            files = _coordinate_files(path)
            listed.append((MicrographNames(files), files))
        elif not PER_MICROGRAPH.intersection(types):
            whole.append(stamp(str(path)))

    before = {file: text for job, _ in upstream for file, text in _cleaned_stamps(job)}

    def stamp_of(name: str) -> str:
        files = [file for job, patterns in upstream for file in product_files(job, patterns, name)]
        picked = [table[like[0]] for names, table in listed if len(like := names.like(name)) == 1]
        return " ".join([*(stamp(file) or before.get(file, "") for file in files or [name]),
                         *(stamp(file) for file in picked), *whole])

    return stamp_of


def _cleaned_stamps(job: str) -> Iterator[tuple[str, str]]:
    for item in read_cleaned(job).files.values():
        yield f"{job}/{item.path}", f"{item.size}:{item.mtime_ns}"


def _coordinate_files(path: Path) -> dict[str, str]:
    """Return the coordinate file of each micrograph in a table that another program wrote."""
    table = read_star(path).get("coordinate_files")
    if table is None or not {"rlnMicrographName", "rlnMicrographCoordinates"} <= set(table.columns):
        return {}
    return dict(zip(table["rlnMicrographName"], table["rlnMicrographCoordinates"], strict=True))


def _products_of(path: Path) -> tuple[str, tuple[str, ...]] | None:
    """Return the job directory and product patterns behind "CtfFind/job003/batches/0001.star", None if unknown."""
    parts = path.parts
    job_type = by_folder(parts[0]) if len(parts) > 2 else None
    return ("/".join(parts[:2]), job_type.products) if job_type and job_type.products else None
