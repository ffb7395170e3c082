"""Plan of a bulk clean-up: its actions and their reasons, from the facts of the jobs and the user's choices.

A job matched by several choices counts once: deletion before clearing before only intermediate results. Final jobs are
never changed, nor are running jobs and user input.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.model import Pipeline
from cryosnake.project.cleaning.bulk.facts import KINDS, JobFacts
from cryosnake.project.cleaning.clean import Action
from cryosnake.project.cleaning.guards import CLEAR, DELETE, FINAL, INTERMEDIATE, NEITHER, refusal
from cryosnake.project.config.values import nearest

_WHY = {"non_final": "no final job depends on it", "failed": "it failed", "killed": "it was killed"}
_RANK = {INTERMEDIATE: 1, CLEAR: 2, DELETE: 3}


@dataclass(frozen=True)
class CleanupPlan:
    """All actions in the order in which they are done, and jobs that were chosen but stay, with the reason."""

    chosen: frozenset[str]  # as named by `_offers`
    workspace: str  # "": the whole project
    actions: tuple[Action, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    def names(self, what: str) -> list[str]:
        """Return the jobs with this action."""
        return [action.name for action in self.actions if action.what == what]

    @property
    def bytes(self) -> int:
        """Bytes that leave the job directories."""
        return sum(action.bytes for action in self.actions)


def plan_cleanup(pipeline: Pipeline, facts: Iterable[JobFacts], chosen: Collection[str],
                 workspace: str = "", members: Collection[str] | None = None) -> CleanupPlan:
    """Return the plan.

    Parameters
    ----------
    pipeline
        The pipeline of the project, for the dependencies.
    facts
        Of every job of the project.
    chosen
        What the user ticked: keys of KINDS, `intermediates`, and `clear_` or `delete_` with `non_final`, `failed` or
        `killed`.
    workspace, members
        The name of a workspace and its jobs; "" and None for the whole project.
    """
    known = {job.name: job for job in facts}
    actions: dict[str, Action] = {}
    skipped: list[tuple[str, str]] = []
    for job in known.values():
        wanted = [offer for name, offer in _offers(job).items() if name in chosen]
        if not wanted or (members is not None and job.name not in members):
            continue
        what = max((what for what, _ in wanted), key=_RANK.__getitem__)
        reason = refusal(job.process, what)
        if reason:
            skipped.append((job.name, reason))
        elif job.taken[what]:
            actions[job.name] = _action(job, what, dict.fromkeys(why for _, why in wanted))
    skipped += _keep_parents_of_kept(pipeline, actions, known)
    ordered = sorted(actions.values(), key=lambda action: (  # children are deleted before their parents
        _RANK[action.what], len(pipeline.descendants(action.name)) if action.what == DELETE else 0))
    return CleanupPlan(frozenset(chosen), workspace, tuple(ordered), tuple(skipped))


def _offers(job: JobFacts) -> dict[str, tuple[str, str]]:
    """Return for each choice that matches a job its action and reason, before guards are asked."""
    offers: dict[str, tuple[str, str]] = {}
    if job.standing == NEITHER:
        for which in filter(None, ("non_final", job.state)):
            offers |= {f"{verb}_{which}": (verb, _WHY[which]) for verb in (CLEAR, DELETE)}
    if job.kind:
        offers[job.kind] = (CLEAR, f"{KINDS[job.kind]}, which can be done again with the same result")
    if job.taken[INTERMEDIATE] and job.standing != FINAL:
        offers["intermediates"] = (INTERMEDIATE, "iterations before the last that no job is connected to")
    return {name: offer for name, offer in offers.items() if not (job.cleared and offer[0] == CLEAR)}


def _action(job: JobFacts, what: str, reasons: Iterable[str]) -> Action:
    return Action(name=job.name, what=what, files=job.taken[what], reasons=tuple(reasons))


def _keep_parents_of_kept(pipeline: Pipeline, actions: dict[str, Action],
                          known: dict[str, JobFacts]) -> list[tuple[str, str]]:
    """Turn the deletion of jobs into clearing when a job that stays depends on them; return the reasons."""
    reasons = []
    for name in sorted(actions, key=lambda name: len(pipeline.descendants(name))):  # children before parents
        kept = [child for child in pipeline.children(name) if child not in actions or actions[child].what != DELETE]
        if actions[name].what == DELETE and kept:
            reasons.append((name, f"is cleared, not deleted: {', '.join(kept)} depends on it and stays"))
            actions[name] = _action(known[name], CLEAR, actions[name].reasons)
    return reasons


def members(pipeline: Pipeline, workspaces: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Return the processes of a workspace; its jobs are named as in the config, or by directory.

    Raises
    ------
    CryosnakeError
        If there is no such workspace, or it names a job that the project does not have (yet).
    """
    if name not in workspaces:
        raise CryosnakeError(f"config.yaml has no workspace {name!r}{nearest(name, workspaces)}; add it under "
                             "`workspaces:`, as a name with a list of jobs")
    return {find_job(job, pipeline).name for job in workspaces[name]}
