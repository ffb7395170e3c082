"""The preview of a clean-up as data: what the text, the JSON and the page show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cryosnake.pipeline.model import Status
from cryosnake.project.cleaning.bulk.facts import KINDS, JobFacts
from cryosnake.project.cleaning.bulk.plan import CLEAR, DELETE, INTERMEDIATE, CleanupPlan
from cryosnake.project.cleaning.bulk.project_sizes import ProjectSizes, staleness
from cryosnake.project.cleaning.finality import ANCESTOR, FINAL, NEITHER


def preview(name: str, facts: Sequence[JobFacts], plan: CleanupPlan, sizes: ProjectSizes) -> dict[str, Any]:
    """Return header, tabs, actions and what was skipped.

    Parameters
    ----------
    name
        Of the project or workspace.
    facts
        The jobs that are looked at.
    plan
        What would be done with them.
    sizes
        The project as it was measured last.
    """
    jobs = sum(job.total.bytes for job in facts)
    return {
        "header": {"name": name, "workspace": plan.choices.workspace, "jobs": len(facts), "bytes": jobs},
        "sizes": {"jobs": jobs, "trash": sizes.trash, "other": sizes.other, "measured": sizes.measured,
                  "stale": staleness(sizes)},
        "estimate": _estimate(facts, plan, sizes),
        "preprocessing": _preprocessing(facts),
        "intermediates": [{"job": job.name, "bytes": job.intermediates.bytes, "files": job.intermediates.files}
                          for job in facts if job.intermediates.files],
        "non_final": _shares(facts, lambda job: job.standing, (FINAL, ANCESTOR, NEITHER)),
        "killed_failed": _shares([job for job in facts if job.status in (Status.FAILED, Status.ABORTED)],
                                 lambda job: {Status.FAILED: "failed", Status.ABORTED: "killed"}[job.status],
                                 ("failed", "killed"), whole=jobs),
        "actions": [{"job": action.name, "action": action.what, "files": action.files, "bytes": action.bytes,
                     "reasons": list(action.reasons)} for action in plan.actions],
        "skipped": [{"job": job, "reason": reason} for job, reason in plan.skipped],
    }


def _estimate(facts: Sequence[JobFacts], plan: CleanupPlan, sizes: ProjectSizes) -> dict[str, Any]:
    project = sizes.total - sizes.jobs + sum(job.total.bytes for job in facts) if not plan.choices.workspace \
        else sizes.total
    by_what = {what: sum(action.bytes for action in plan.actions if action.what == what)
               for what in (CLEAR, INTERMEDIATE, DELETE)}
    return {"cleared": len(plan.names(CLEAR)), "intermediate_only": len(plan.names(INTERMEDIATE)),
            "deleted": len(plan.names(DELETE)), "modified": len(plan.actions), "bytes": plan.bytes,
            "bytes_by_action": by_what, "project_bytes": project, "percent": _percent(plan.bytes, project)}


def _preprocessing(facts: Sequence[JobFacts]) -> dict[str, Any]:
    shares = _shares(facts, lambda job: "preprocessing" if job.kind else "other", ("preprocessing", "other"))
    kinds = _shares([job for job in facts if job.kind], lambda job: job.kind, tuple(KINDS),
                    whole=sum(job.total.bytes for job in facts))
    total = {"total": {"jobs": len(facts), "bytes": sum(job.total.bytes for job in facts), "percent": 100.0}}
    return {**shares, **total, "kinds": {kind: share for kind, share in kinds.items() if share["jobs"]}}


def _shares(facts: Sequence[JobFacts], group: Callable[[JobFacts], str], groups: Sequence[str],
            whole: int | None = None) -> dict[str, dict[str, Any]]:
    total = sum(job.total.bytes for job in facts) if whole is None else whole
    shares = {}
    for name in groups:
        members = [job for job in facts if group(job) == name]
        size = sum(job.total.bytes for job in members)
        shares[name] = {"jobs": len(members), "bytes": size, "percent": _percent(size, total),
                        "names": [job.name for job in members]}
    return shares


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
