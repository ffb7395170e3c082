"""A job that a person makes by hand: what RELION changed in it is taken over first, and it says what it is made of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cryosnake.atomic import touch
from cryosnake.project.actions.picked_in_relion import WRITTEN, adopt, note_written
from cryosnake.project.config.picked import digest_of_picks
from cryosnake.project.locks.decisions_lock import deciding
from cryosnake.project.planning.planned import MARK, picked_mark
from cryosnake.project.records.record import read_record, write_record


@contextmanager
def picks_of(out: Path, folder: Path) -> Iterator[None]:
    """Hold the picks in a folder of decisions while the program in the block writes them to its job directory.

    Both the picks that the run was planned with and those that it found are noted as made, so that what is saved, or
    changed by RELION, while snakemake works is known to the next plan.
    """
    with deciding(folder.name):
        for name in adopt(str(folder), str(out)):
            print(f"{name}: its picks were changed in {out}; they are taken over to {folder}")
        Path(out, WRITTEN).unlink(missing_ok=True)
        yield
        note_written(str(out))
        _note_decision(out, digest_of_picks(str(folder)))


def _note_decision(out: Path, decision: str) -> None:
    record = read_record(out)
    marks = {picked_mark(str(out), made) for made in (decision, record.decision if record else "") if made}
    for name in os.listdir(out):
        if name.startswith(MARK) and f"{out}/{name}" not in marks:
            os.unlink(out / name)
    for mark in marks:
        touch(mark)
    if record and record.decision != decision:
        write_record(out, replace(record, decision=decision))
