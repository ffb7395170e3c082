"""Stamps of a micrograph's input: sizes, times and signatures of the upstream products, as one line of text.

When a product upstream is made again, its stamp changes, and only what was made from it is made again. A cleaned
product counts with the stamp that it had. Where only times differ, as in a copy of the project, signatures decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryosnake.io.paths import MicrographNames
from cryosnake.io.star import read_star
from cryosnake.jobs.model import COORDINATES, JobType
from cryosnake.jobs.registry import by_folder
from cryosnake.project.planning.planned import PER_MICROGRAPH
from cryosnake.project.records.batches import product_files
from cryosnake.project.records.cleaned_files import read_cleaned
from cryosnake.project.records.file_stamps import is_same_file, signed_stamp, stamp
from cryosnake.project.records.record import read_record


@dataclass(frozen=True)
class Stamper:
    """All that a micrograph's products depend on, by the micrograph's name in the input STAR.

    `upstream` has directory and product patterns of the jobs whose products they are, `listed` a coordinate file by
    micrograph for each table of another program, `whole` files on which all micrographs depend, and `before` the stamps
    of files that were cleaned.
    """

    upstream: list[tuple[str, tuple[str, ...]]]
    listed: list[tuple[MicrographNames, dict[str, str]]]
    whole: list[str]
    before: Mapping[str, str]

    def __call__(self, name: str, *, signed: bool = False) -> str:
        """Return the present stamp, "" for each file that is not there; only signed ones are recorded."""
        stamp_now = signed_stamp if signed else stamp
        return " ".join(stamp_now(file) or self.before.get(file, "") for file in self._files(name))

    def is_same(self, recorded: str, name: str) -> bool:
        """Whether a micrograph's input is as recorded. That of a file that was cleaned has the size that it had."""
        files, known = self._files(name), recorded.split(" ")
        return len(files) == len(known) and all(
            is_same_file(text, file) or (not stamp(file) and _size(text) == _size(self.before.get(file, "")))
            for text, file in zip(known, files, strict=True))

    def _files(self, name: str) -> list[str]:
        files = [file for job, patterns in self.upstream for file in product_files(job, patterns, name)]
        picked = [table[like[0]] for names, table in self.listed if len(like := names.like(name)) == 1]
        return [*(files or [name]), *picked, *self.whole]


def stamper(job_type: JobType, inputs: Mapping[str, Path]) -> Stamper:
    """Return the stamper of a batch."""
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
            whole.append(str(path))
    return Stamper(upstream, listed, whole, {file: text for job, _ in upstream for file, text in _cleaned_stamps(job)})


def _size(recorded: str) -> str:
    return recorded.partition(":")[0]


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
    if job_type and job_type.judges:  # it passes on those of its input
        record = read_record(Path(*parts[:2]))
        return _products_of(Path(record.inputs["micrographs"].replace(":", "/"))) if record else None
    return ("/".join(parts[:2]), job_type.products) if job_type and job_type.products else None
