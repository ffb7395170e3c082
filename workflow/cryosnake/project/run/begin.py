"""The beginning of a run: the project is claimed, and what killed runs left in it is repaired."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import chdir
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.lock import remove_stale_locks, update_pipeline
from cryosnake.pipeline.markers import correct_alias_links
from cryosnake.pipeline.recover import is_cut
from cryosnake.processes import this_process
from cryosnake.project.cleaning.delete import current_pipeline, finish_deletions
from cryosnake.project.locks.clean_up_lock import clean_up_owner, cleaning_up
from cryosnake.project.locks.snakemake_lock import claim_lane, claim_run, release_claim, running_claim, time_on_disk
from cryosnake.project.planning.planned import Plan
from cryosnake.project.planning.unfinished import empty_outputs
from cryosnake.project.records.archive import refuse_archived
from cryosnake.project.records.cleaned_files import remove_incomplete_tables
from cryosnake.project.run.closing import tidy_results
from cryosnake.project.run.copied_files import (
    changed_movies,
    future_times,
    record_files,
    renew_movies,
    restore_times,
    say_copied,
    say_future,
    set_future_times,
    times_of_record,
)
from cryosnake.project.run.snakemake_marks import clear_stale_marks, mark_unfinished


def finish_interrupted_deletions() -> None:
    """Move jobs to the Trash that interrupted deletions left outside it."""
    with cleaning_up():
        for path in finish_deletions(current_pipeline()):
            print(f"{path.rstrip('/')}: moved to the Trash; its deletion had been interrupted", file=sys.stderr)


def claim(lane: str = "") -> None:
    """Reserve the project for this run, or its lane of a watcher, until the process ends.

    Raises
    ------
    CryosnakeError
        when another run or a clean-up works in it, or it is archived
    """
    refuse_archived()
    owner = clean_up_owner()
    if owner:
        raise CryosnakeError(f"somebody deletes or cleans in this project ({owner}); run again when that has finished")
    atexit.register(_release, os.getcwd(), lane)
    if lane:
        claim_lane(lane)
    else:
        message = claim_run()
        if message:
            print(message, file=sys.stderr)
    remove_stale_locks(Path())
    if is_cut("."):
        update_pipeline(Path(), lambda pipeline: pipeline)


def _release(project: str, lane: str) -> None:
    with chdir(project):  # Snakemake has gone back to where it was called
        release_claim(lane)


def restore_copied(plan: Plan) -> dict[str, int]:
    """Give files of a copied project their recorded times, and record what is new; return the times of those not ours.

    Raises
    ------
    CryosnakeError
        when a job is to be made from a file from outside that is dated in the future
    """
    now = time_on_disk()
    times, movies = times_of_record(plan), changed_movies(plan)
    say_copied(times, movies)
    say_future(future_times(plan, now), now)
    others = restore_times(plan, times)
    renew_movies(movies)
    set_future_times(plan, now)
    record_files(plan)
    return others


def repair_after_kills(plan: Plan) -> None:
    """Repair what killed programs left: halves of tables, second names, Snakemake's marks, links that lead nowhere."""
    if any(os.path.islink(link) and not os.path.exists(link) for link in
           (f"{job.config.type.folder}/{job.name}" for job in plan.jobs.values())):
        correct_alias_links(Path(), current_pipeline())
    remove_incomplete_tables(job.path for job in plan.own)
    if plan.lane or running_claim() == this_process():  # no other Snakemake makes these
        for file in empty_outputs(plan):
            os.unlink(file)
        clear_stale_marks(plan)
        mark_unfinished(plan)
        tidy_results(plan.own)
