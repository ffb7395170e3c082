"""Class numbers of config.yaml that a run has applied: what they were applied to becomes a decision."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.project.config.config import DECISIONS
from cryosnake.project.config.decisions import Decision, add_decision, digest_of_files, now
from cryosnake.project.planning.planned import PlannedJob
from cryosnake.project.records.freshness import is_finished
from cryosnake.project.records.record import read_record


def record_bound_numbers(jobs: Iterable[PlannedJob]) -> None:
    """Write a decision for each job that has finished with numbers of the config, unless there is one already."""
    for job in jobs:
        choice = job.choice
        if choice is None or not choice.in_config or choice.waits or job.decision or not job.numbered:
            continue
        if not is_finished(job.path, job.files()):
            continue
        record, digest = read_record(Path(job.path)), digest_of_files(choice.files)
        if digest and record and all(file.is_as_it_was() for file in record.made_from.values()):
            decision = Decision(classes=choice.in_config, made_on=choice.made_on, files=choice.files, digest=digest,
                                in_config=choice.in_config, date=now())
            try:
                add_decision(job.name, decision)
            except (CryosnakeError, OSError) as error:  # the run succeeded all the same; the next one tries again
                print(f"the classes of {job.name} could not be noted in {DECISIONS}: {error}", file=sys.stderr)
