"""A bulk clean-up as it is chosen: what it would take, shown before it does, and carried out as it was shown."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from cryosnake.project.cleaning.bulk import project_sizes
from cryosnake.project.cleaning.bulk.facts import read_facts
from cryosnake.project.cleaning.bulk.plan import CleanupPlan, members, plan_cleanup
from cryosnake.project.cleaning.bulk.preview import preview
from cryosnake.project.cleaning.bulk.run import run_manifest, write_manifest
from cryosnake.project.cleaning.delete import current_pipeline, finish_deletions
from cryosnake.project.config.config import parse_workspaces
from cryosnake.project.config.text_edits import ChangedMeanwhileError, read_config
from cryosnake.project.locks.clean_up_lock import cleaning_up


@dataclass(frozen=True)
class ChosenCleanup:
    """A plan, its preview as data (`cleaning/bulk/preview.py`, with `made_again`), and the stamp of its actions."""

    plan: CleanupPlan
    shown: dict[str, Any]
    stamp: str


def choose_cleanup(chosen: Collection[str], workspace: str = "", *, measure: bool = False,
                   keep: bool = True) -> ChosenCleanup:
    """Return what a clean-up would do in the project in the working directory; sizes are measured where they are not.

    Parameters
    ----------
    chosen
        As for `plan_cleanup`.
    workspace
        Only its jobs; "" for all.
    measure
        Whether the whole project is measured again.
    keep
        Whether sizes that were measured are stored for the next time.

    Raises
    ------
    CryosnakeError
        when there is no such workspace
    """
    pipeline = current_pipeline()
    facts = read_facts(pipeline)
    config = read_config()
    jobs = config.get("jobs") or {}
    inside = members(pipeline, parse_workspaces(config.get("workspaces"), jobs), workspace) if workspace \
        else pipeline.processes.keys()
    plan = plan_cleanup(pipeline, facts, chosen, workspace, inside)
    sizes = None if measure else project_sizes.read_sizes()
    sizes = sizes or project_sizes.measure(pipeline.processes, keep=keep)  # before anything is cleaned up
    sizes = project_sizes.with_trash(sizes)
    considered = [job for job in facts if job.name in inside]
    title = str(config.get("title") or os.path.basename(os.getcwd()))
    listed = [job.name for job in considered if job.name in plan.names("delete") and job.process.short_alias in jobs]
    return ChosenCleanup(plan, preview(title, considered, plan, sizes) | {"made_again": listed}, _stamp(plan))


def carry_out(chosen: ChosenCleanup, shown: str, tell: Callable[[str], None] = lambda line: None,
              ) -> list[tuple[str, str]]:
    """Carry out what was shown: move it to the Trash by a manifest; return the jobs that were left alone, with why.

    Raises
    ------
    ChangedMeanwhileError
        when the plan is no longer the one with the stamp `shown`: nothing was done
    CryosnakeError
        when a run works in the project, or a disk is full: the manifest goes on from there
    """
    if chosen.stamp != shown:
        raise ChangedMeanwhileError("the jobs have changed since this clean-up was shown; nothing was moved. Look at "
                                    "it again")
    with cleaning_up():
        finish_deletions(current_pipeline())
        return run_manifest(write_manifest(chosen.plan), tell)


def _stamp(plan: CleanupPlan) -> str:
    told = [(action.name, action.what, len(action.files), action.bytes) for action in plan.actions]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
