"""Batches of micrographs: which movie belongs to which batch, what each batch has finished, and its revision.

A batch once formed never changes. When one of its products is missing or a movie was replaced, the batch is planned
under its next revision (`batches/0007.r2.star`), which Snakemake sees as a file still to be made; the program then
finds what is unfinished by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.io.paths import product_root
from cryosnake.names import is_listed_name, shown, why_unusable
from cryosnake.project.records.disk import BATCHES, table_lines

MANIFEST = "manifest.tsv"
_FEWEST = 4  # micrographs of a batch that is formed before there are more: each batch starts a program per job
DROPPED = "dropped"  # recorded for a micrograph that is no longer in the input


@dataclass(frozen=True)
class Finished:
    """One line of a batch's `.done` file: a micrograph, the stamp of its input, and its outcome."""

    name: str
    stamp: str
    state: str  # ok, failed, rejected
    reason: str  # of an ok one how much it gave, as in "312 picks"; may be empty

    @property
    def input_was_missing(self) -> bool:
        """Whether something that it is made from did not exist, as when a disk is unmounted."""
        return "" in self.stamp.split(" ")

    def line(self) -> str:
        """Return it as a line of the file."""
        return "\t".join((self.name, self.stamp, self.state, self.reason)) + "\n"

    def __str__(self) -> str:
        """Return name and reason as a sentence."""
        reason = f"{self.reason.rstrip('.')}."
        return reason if reason.startswith(self.name) else f"{self.name}: {reason}"


def batch_key(number: int, revision: int) -> str:
    """Return "0007", or "0007.r2" from the second revision on."""
    return f"{number:04d}" + (f".r{revision}" if revision > 1 else "")


def batch_number(key: str) -> int:
    """Return 7 for "0007.r2"."""
    return int(key.partition(".")[0])


def batch_star(job: str, key: str) -> str:
    """Return the path of a batch's STAR file."""
    return f"{job}/{BATCHES}/{key}.star"


def read_manifest(job: str) -> dict[int, list[str]]:
    """Return the movies of each batch of an import job, without those whose names can't be used.

    Earlier versions listed these, too; where a name has a line break, it goes on in the next line.

    Raises
    ------
    CryosnakeError
        when it is damaged, or lists a file outside of the project
    """
    listed: list[tuple[int, str]] = []
    for line in table_lines(f"{job}/{MANIFEST}"):
        number, tab, name = line.partition("\t")
        if tab and number.isascii() and number.isdecimal() and len(number) < 10:
            listed.append((int(number), name))
        elif listed:
            listed[-1] = (listed[-1][0], f"{listed[-1][1]}\n{line}")
        else:
            raise CryosnakeError(f"{job}/{MANIFEST}: {shown(line)!r} where the number of a batch, a tab and the name "
                                 "of a movie are expected. Restore the file from a backup")
    batches: dict[int, list[str]] = {}
    for batch, name in listed:
        if not is_listed_name(name):
            raise CryosnakeError(f"{job}/{MANIFEST}: {shown(name)!r} is outside of the project; movies are listed by "
                                 "their names in it, such as Movies/a.tiff. Restore the file from a backup")
        names = batches.setdefault(batch, [])
        if not why_unusable(name):
            names.append(name)
    return batches


def write_manifest(job: str, batches: Mapping[int, Sequence[str]]) -> None:
    """Write the movies of each batch of an import job, complete or not at all."""
    text = "".join(f"{number}\t{name}\n" for number in sorted(batches) for name in batches[number])
    write_text(Path(job, MANIFEST), text, durable=True)


def form_batches(existing: Mapping[int, Sequence[str]], arrived: Sequence[str], size: int, *,
                 full_only: bool = False, at_once: int = 1) -> dict[int, list[str]]:
    """Return the existing batches, unchanged, and new ones of at most `size` for what has arrived.

    As many as are computed `at_once`, so that no core is idle, but none of fewer than 4. With `full_only` the rest that
    does not fill a batch of `size` waits for more.
    """
    batches = {number: list(names) for number, names in existing.items()}
    number = max(batches, default=0)
    count = len(arrived) // size * size if full_only else len(arrived)
    each = min(size, max(_FEWEST, -(-count // at_once)))
    for start in range(0, count, each):
        number += 1
        batches[number] = list(arrived[start : min(start + each, count)])
    return batches


def done_file(job: str, number: int) -> str:
    """Return the path of the file in which a batch records each micrograph as it is finished."""
    return f"{job}/{BATCHES}/{number:04d}.done"


def read_done(job: str, number: int) -> dict[str, Finished]:
    """Return the outcome of each micrograph of a batch; its last line counts, an incomplete last line does not."""
    finished = {}
    for line in table_lines(done_file(job, number)):
        fields = line.split("\t")
        if len(fields) == 4:
            finished[fields[0]] = Finished(*fields)
    return {name: item for name, item in finished.items() if item.state != DROPPED}


def revisions(job: str) -> dict[int, int]:
    """Return the newest revision of each batch whose STAR file exists."""
    newest: dict[int, int] = {}
    try:
        names = os.listdir(f"{job}/{BATCHES}")
    except FileNotFoundError:
        return newest
    for name in names:
        key, star, _ = name.rpartition(".star")
        number, _, revision = key.partition(".r")  # "0007.r2"
        if star and name.endswith(star) and number.isdecimal() and (revision or "1").isdecimal():
            newest[int(number)] = max(newest.get(int(number), 0), int(revision or 1))
    return newest


def product_files(job: str, products: Iterable[str], name: str) -> list[str]:
    """Return the files that a micrograph leaves in a job directory; `name` is its path in the input STAR."""
    root = product_root(job, name)
    return [product.replace("{root}", root) for product in products]
