"""Key results, by which a finished job is judged and compared: resolution, counts, medians, read from its files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from cryosnake.errors import CryosnakeError
from cryosnake.io.star_rows import count_rows
from cryosnake.pipeline.star_text import Block, read_blocks


class Result(NamedTuple):
    """One number of a job; `unit` may be empty."""

    name: str
    value: float
    unit: str

    def __str__(self) -> str:
        """Return the value with its unit, as in "3.42 Å" or "1,408"."""
        number = f"{self.value:,.0f}" if float(self.value).is_integer() else f"{self.value:.4g}"
        return f"{number} {self.unit}".rstrip()


_VALUES = (  # file, block, label, name, unit; the median of a column of several rows
    ("run_model.star", "model_general", "rlnCurrentResolution", "resolution", "Å"),
    ("postprocess.star", "general", "rlnFinalResolution", "resolution", "Å"),
    ("postprocess.star", "general", "rlnBfactorUsedForSharpening", "B-factor", "Å²"),
    ("corrected_micrographs.star", "micrographs", "rlnAccumMotionTotal", "median accumulated motion", "pixels"),
    ("micrographs_ctf.star", "micrographs", "rlnCtfMaxResolution", "median CTF resolution", "Å"),
    ("micrographs_ctf.star", "micrographs", "rlnDefocusU", "median defocus U", "Å"),
    ("micrographs_ctf.star", "micrographs", "rlnCtfFigureOfMerit", "median figure of merit", ""),
)
_COUNTS = (("movies.star", "movies"), ("micrographs.star", "micrographs"),
           ("corrected_micrographs.star", "micrographs"), ("micrographs_ctf.star", "micrographs"),
           ("particles.star", "particles"), ("run_data.star", "particles"))


def key_results(job_dir: str) -> list[Result]:
    """Return the key results of a job directory; a file that is missing or damaged is left out.

    Pixels are the detector's.
    """
    found: dict[str, Result] = {}
    for result in (*_counts(job_dir), *_picks(job_dir), *_iteration(job_dir), *_values(job_dir)):
        found.setdefault(result.name, result)
    return list(found.values())


def last_iteration(job_dir: str) -> int:
    """Return the number of the last complete iteration in a job directory, 0 when there is none."""
    names = Path(job_dir).glob("run_it[0-9][0-9][0-9]_optimiser.star")
    return max((int(path.name[6:9]) for path in names), default=0)


def _counts(job_dir: str) -> Iterable[Result]:
    for file, table in _COUNTS:
        count = count_rows(f"{job_dir}/{file}", (table,))
        if count:
            yield Result(table, count, "")


def _picks(job_dir: str) -> Iterable[Result]:
    block = _block(f"{job_dir}/autopick.star", "coordinate_files")
    files = (block.column("rlnMicrographCoordinates") if block else None) or []
    if files:
        yield Result("micrographs", len(files), "")
        yield Result("picks", sum(count_rows(file, ("",)) for file in files), "")


def _iteration(job_dir: str) -> Iterable[Result]:
    number = last_iteration(job_dir)
    if not number or Path(job_dir, "run_model.star").exists():
        return
    root = f"{job_dir}/run_it{number:03d}"
    yield Result("iterations", number, "")
    count = count_rows(f"{root}_data.star", ("particles",))
    if count:
        yield Result("particles", count, "")
    model = next((name for name in (f"{root}_model.star", f"{root}_half1_model.star") if Path(name).exists()), "")
    yield from _value(model, "model_general", "rlnCurrentResolution", "resolution", "Å")
    shares = _numbers(_block(model, "model_classes"), "rlnClassDistribution")
    if len(shares) > 1:
        yield Result("classes in use", sum(share > 0 for share in shares), "")
        yield Result("largest class", round(100 * max(shares), 1), "%")


def _values(job_dir: str) -> Iterable[Result]:
    for file, block, label, name, unit in _VALUES:
        yield from _value(f"{job_dir}/{file}", block, label, name, unit)


def _value(path: str, block: str, label: str, name: str, unit: str) -> Iterable[Result]:
    numbers = _numbers(_block(path, block), label)
    if numbers:
        yield Result(name, median(numbers), unit)


def _numbers(block: Block | None, label: str) -> list[float]:
    texts = (block.column(label) if block else None) or []
    with contextlib.suppress(ValueError):
        return [float(text) for text in texts]
    return []


def _block(path: str, name: str) -> Block | None:
    if not path or not Path(path).exists():
        return None
    with contextlib.suppress(CryosnakeError):
        return read_blocks(path, (name,)).get(name)
    return None
