"""Key results, by which a finished job is judged and compared: resolution, counts, medians, read from its files."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from cryosnake.errors import CryosnakeError
from cryosnake.io.star_rows import count_rows
from cryosnake.pipeline.star_text import Block, read_blocks
from cryosnake.project.records.batches import batch_number, read_done
from cryosnake.project.records.disk import BATCHES


class Result(NamedTuple):
    """One number of a job; `unit` may be empty."""

    name: str
    value: float
    unit: str

    def __str__(self) -> str:
        """Return the value with its unit, as in "3.42 Å" or "1,408"."""
        whole = float(self.value).is_integer() or abs(self.value) >= 1000
        number = f"{self.value:,.0f}" if whole else f"{self.value:.4g}"
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
_OPTIMISER = re.compile(r"run_it(\d\d\d)_optimiser\.star")


def key_results(job_dir: str) -> list[Result]:
    """Return the key results of a job directory; a file that is missing or damaged is left out.

    Pixels are the detector's.
    """
    files = _Files(job_dir)
    found: dict[str, Result] = {}
    for result in (*_counts(files), *_picks(files), *_iteration(files), *_values(files)):
        found.setdefault(result.name, result)
    return list(found.values())


def last_iteration(job_dir: str) -> int:
    """Return the number of the last complete iteration in a job directory, 0 when there is none."""
    return _last_iteration(_names(job_dir))


class _Files:
    """A job's tables. Its directory is listed once and each table parsed once: projects have thousands of jobs."""

    def __init__(self, job_dir: str) -> None:
        self.job_dir, self.names = job_dir, frozenset(_names(job_dir))
        self._blocks: dict[tuple[str, str], Block | None] = {}

    def rows(self, file: str, table: str) -> int:
        return count_rows(f"{self.job_dir}/{file}", (table,)) if file in self.names else 0

    def block(self, file: str, name: str) -> Block | None:
        if file not in self.names:
            return None
        if (file, name) not in self._blocks:
            self._blocks[file, name] = None
            with contextlib.suppress(CryosnakeError):
                self._blocks[file, name] = read_blocks(f"{self.job_dir}/{file}", (name,)).get(name)
        return self._blocks[file, name]

    def value(self, file: str, block: str, label: str, name: str, unit: str) -> Iterable[Result]:
        numbers = _numbers(self.block(file, block), label)
        if numbers:
            yield Result(name, median(numbers), unit)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _last_iteration(names: Iterable[str]) -> int:
    return max((int(found[1]) for found in map(_OPTIMISER.fullmatch, names) if found), default=0)


def _counts(files: _Files) -> Iterable[Result]:
    for file, table in _COUNTS:
        count = files.rows(file, table)
        if count:
            yield Result(table, count, "")


def _picks(files: _Files) -> Iterable[Result]:
    block = next((block for file in ("autopick.star", "manualpick.star")
                  if (block := files.block(file, "coordinate_files"))), None)
    tables = (block.column("rlnMicrographCoordinates") if block else None) or []
    if tables:
        yield Result("micrographs", len(tables), "")
        picks = _recorded_picks(files, len(tables))
        yield Result("picks", sum(count_rows(file, ("",)) for file in tables) if picks is None else picks, "")


def _recorded_picks(files: _Files, micrographs: int) -> int | None:
    """Return the picks that were recorded with the batches; None unless those of all micrographs were."""
    if BATCHES not in files.names:
        return None
    numbers = [batch_number(name) for name in _names(f"{files.job_dir}/{BATCHES}") if name.endswith(".done")]
    found = [re.match(r"(\d+) picks\b", item.reason) for number in numbers
             for item in read_done(files.job_dir, number).values() if item.state == "ok"]
    known = [int(words[1]) for words in found if words]
    return sum(known) if len(known) == len(found) == micrographs else None


def _iteration(files: _Files) -> Iterable[Result]:
    number = _last_iteration(files.names)
    if not number or "run_model.star" in files.names:
        return
    root = f"run_it{number:03d}"
    yield Result("iterations", number, "")
    count = files.rows(f"{root}_data.star", "particles")
    if count:
        yield Result("particles", count, "")
    model = next((name for name in (f"{root}_model.star", f"{root}_half1_model.star") if name in files.names), "")
    yield from files.value(model, "model_general", "rlnCurrentResolution", "resolution", "Å")
    shares = _numbers(files.block(model, "model_classes"), "rlnClassDistribution")
    if len(shares) > 1:
        yield Result("classes in use", sum(share > 0 for share in shares), "")
        yield Result("largest class", round(100 * max(shares), 1), "%")


def _values(files: _Files) -> Iterable[Result]:
    for file, block, label, name, unit in _VALUES:
        yield from files.value(file, block, label, name, unit)


def _numbers(block: Block | None, label: str) -> list[float]:
    texts = (block.column(label) if block else None) or []
    with contextlib.suppress(ValueError):
        return [float(text) for text in texts]
    return []
