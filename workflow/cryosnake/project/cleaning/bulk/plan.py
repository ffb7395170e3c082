"""What a clean-up in bulk would do, and why: pure, from the facts of the jobs and what the user chose.

A job that several choices hit counts once: deletion before clearing before intermediate results alone. Final jobs are
never touched, nor is a job at work or what a person put in by hand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from cryosnake.pipeline.model import Pipeline, Status
from cryosnake.project.cleaning.bulk.facts import KINDS, JobFacts
from cryosnake.project.cleaning.finality import FINAL, NEITHER

DELETE, CLEAR, INTERMEDIATE = "delete", "clear", "intermediate"
_RANK = {INTERMEDIATE: 1, CLEAR: 2, DELETE: 3}


@dataclass(frozen=True)
class Choices:
    """What the user ticked; everything is off by default. `preprocessing` holds keys of `cleanup_facts.KINDS`."""

    workspace: str = ""
    clear_non_final: bool = False
    delete_non_final: bool = False
    preprocessing: frozenset[str] = frozenset()
    intermediates: bool = False
    clear_statuses: frozenset[Status] = frozenset()
    delete_statuses: frozenset[Status] = frozenset()


@dataclass(frozen=True)
class Action:
    """What happens to one job: delete, clear or intermediate; files and bytes that go; the choices that say so."""

    name: str
    what: str
    files: int
    bytes: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class CleanupPlan:
    """All actions in the order in which they are done, and jobs that were chosen but stay, with the reason."""

    choices: Choices
    actions: tuple[Action, ...] = ()
    skipped: tuple[tuple[str, str], ...] = field(default_factory=tuple)

    def names(self, what: str) -> list[str]:
        """Return the jobs to which this happens."""
        return [action.name for action in self.actions if action.what == what]

    @property
    def bytes(self) -> int:
        """Bytes that leave the job directories."""
        return sum(action.bytes for action in self.actions)


def plan_cleanup(pipeline: Pipeline, facts: Iterable[JobFacts], choices: Choices,
                 members: Collection[str] | None = None) -> CleanupPlan:
    """Return the plan.

    Parameters
    ----------
    pipeline
        For what depends on what.
    facts
        Of every job of the project.
    choices
        What the user ticked.
    members
        The jobs of the workspace; None for the whole project.
    """
    actions: dict[str, Action] = {}
    skipped: list[tuple[str, str]] = []
    for job in facts:
        if members is not None and job.name not in members:
            continue
        wanted = _wanted(job, choices)
        reason = _protection(job, [what for what, _ in wanted])
        if wanted and reason:
            skipped.append((job.name, reason))
        elif wanted:
            what = max((what for what, _ in wanted), key=_RANK.__getitem__)
            action = _action(job, what, tuple(why for _, why in wanted))
            if action.files:
                actions[job.name] = action
    known = {job.name: job for job in facts}
    skipped += _keep_parents_of_kept(pipeline, actions, known)
    return CleanupPlan(choices, _ordered(pipeline, actions), tuple(skipped))


def _wanted(job: JobFacts, choices: Choices) -> list[tuple[str, str]]:
    """Return what the choices ask for a job, with the reason, before anything that protects it."""
    wanted = []
    if job.standing == NEITHER:
        if choices.delete_non_final:
            wanted.append((DELETE, "no final job comes from it"))
        elif choices.clear_non_final and not job.cleared:
            wanted.append((CLEAR, "no final job comes from it"))
        state = {Status.FAILED: "failed", Status.ABORTED: "killed"}.get(job.status, "")
        if job.status in choices.delete_statuses:
            wanted.append((DELETE, f"it {state}" if state == "failed" else "it was killed"))
        elif job.status in choices.clear_statuses:
            wanted.append((CLEAR, f"it {state}" if state == "failed" else "it was killed"))
    if job.kind in choices.preprocessing and not job.cleared:
        wanted.append((CLEAR, f"{KINDS[job.kind]}, which can be done again with the same result"))
    if choices.intermediates and job.intermediates.files and job.standing != FINAL:
        wanted.append((INTERMEDIATE, "iterations before the last that no job is connected to"))
    return wanted


def _protection(job: JobFacts, whats: list[str]) -> str:
    if job.standing == FINAL:
        return "it is final"
    if job.busy:
        return job.busy
    if whats == [INTERMEDIATE]:
        return ""
    if job.protected:
        return "NO_HARSH_CLEAN protects it"
    return "what a person put in can't be made again" if job.user_input else ""


def _action(job: JobFacts, what: str, reasons: tuple[str, ...]) -> Action:
    amount = {DELETE: job.total, CLEAR: job.results, INTERMEDIATE: job.intermediates}[what]
    return Action(job.name, what, amount.files, amount.bytes, reasons)


def _keep_parents_of_kept(pipeline: Pipeline, actions: dict[str, Action],
                          known: dict[str, JobFacts]) -> list[tuple[str, str]]:
    """Turn the deletion of jobs into clearing when a job that stays depends on them; return the reasons."""
    reasons = []
    for name in sorted(actions, key=lambda name: len(pipeline.descendants(name))):  # children before parents
        kept = [child for child in pipeline.children(name) if child not in actions or actions[child].what != DELETE]
        if actions[name].what == DELETE and kept:
            reasons.append((name, f"is cleared and not deleted: {', '.join(kept)} depends on it and stays"))
            actions[name] = replace(_action(known[name], CLEAR, actions[name].reasons))
    return reasons


def _ordered(pipeline: Pipeline, actions: dict[str, Action]) -> tuple[Action, ...]:
    """Return intermediates first, then what is cleared, then what is deleted, children before their parents."""
    order = sorted(actions.values(), key=lambda action: (
        _RANK[action.what], len(pipeline.descendants(action.name)) if action.what == DELETE else 0))
    return tuple(order)
