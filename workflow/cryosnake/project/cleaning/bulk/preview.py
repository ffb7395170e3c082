"""Preview of a clean-up: as data for the JSON and the page, and as lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cryosnake.human import human_size
from cryosnake.project.cleaning.bulk.facts import KINDS, JobFacts
from cryosnake.project.cleaning.bulk.plan import CleanupPlan
from cryosnake.project.cleaning.bulk.project_sizes import ProjectSizes, staleness
from cryosnake.project.cleaning.guards import ANCESTOR, CLEAR, DELETE, FINAL, INTERMEDIATE, NEITHER

_BAR = 40  # characters


def preview(name: str, facts: Sequence[JobFacts], plan: CleanupPlan, sizes: ProjectSizes) -> dict[str, Any]:
    """Return header, tabs, actions and what was skipped.

    Parameters
    ----------
    name
        The name of the project.
    facts
        The jobs considered.
    plan
        What would be done with them.
    sizes
        The last measured sizes of the project.
    """
    jobs = _bytes(facts)
    whole = sizes.total if plan.workspace else sizes.total - sizes.jobs + jobs
    kinds = _shares([job for job in facts if job.kind], lambda job: job.kind, KINDS, jobs)
    return {
        "header": {"name": name, "workspace": plan.workspace, "jobs": len(facts), "bytes": jobs},
        "sizes": {"jobs": jobs, "trash": sizes.trash, "other": sizes.other, "measured": sizes.measured,
                  "stale": staleness(sizes)},
        "estimate": {
            "cleared": len(plan.names(CLEAR)), "intermediate_only": len(plan.names(INTERMEDIATE)),
            "deleted": len(plan.names(DELETE)), "modified": len(plan.actions), "bytes": plan.bytes,
            "bytes_by_action": {what: sum(action.bytes for action in plan.actions if action.what == what)
                                for what in (CLEAR, INTERMEDIATE, DELETE)},
            "project_bytes": whole, "percent": _percent(plan.bytes, whole)},
        "preprocessing": {
            **_shares(facts, lambda job: "preprocessing" if job.kind else "other", ("preprocessing", "other"), jobs),
            "total": {"jobs": len(facts), "bytes": jobs, "percent": 100.0},
            "kinds": {kind: share for kind, share in kinds.items() if share["jobs"]}},
        "intermediates": [{"job": job.name, "bytes": job.bytes(INTERMEDIATE), "files": len(job.taken[INTERMEDIATE])}
                          for job in facts if job.taken[INTERMEDIATE]],
        "non_final": _shares(facts, lambda job: job.standing, (FINAL, ANCESTOR, NEITHER), jobs),
        "killed_failed": _shares(facts, lambda job: job.state, ("failed", "killed"), jobs),
        "actions": [{"job": action.name, "action": action.what, "files": len(action.files), "bytes": action.bytes,
                     "reasons": list(action.reasons)} for action in plan.actions],
        "skipped": [{"job": job, "reason": reason} for job, reason in plan.skipped],
    }


def _shares(facts: Sequence[JobFacts], group: Callable[[JobFacts], str], groups: Iterable[str],
            whole: int) -> dict[str, dict[str, Any]]:
    """Return for each group its jobs, their bytes, and their percentage of `whole`."""
    members = {name: [job for job in facts if group(job) == name] for name in groups}
    return {name: {"jobs": len(jobs), "bytes": _bytes(jobs), "percent": _percent(_bytes(jobs), whole),
                   "names": [job.name for job in jobs]} for name, jobs in members.items()}


def _bytes(facts: Iterable[JobFacts]) -> int:
    return sum(job.bytes() for job in facts)


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def preview_text(preview: Mapping[str, Any]) -> list[str]:
    """Return the lines of a preview from `preview`."""
    header, sizes, estimate = preview["header"], preview["sizes"], preview["estimate"]
    where = f"workspace {header['workspace']} of {header['name']}" if header["workspace"] else header["name"]
    lines = [f"{where}: {header['jobs']} jobs, {human_size(header['bytes'])}; other files "
             f"{human_size(sizes['other'])}, Trash {human_size(sizes['trash'])} (measured "
             f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(sizes['measured']))})"]
    if sizes["stale"]:
        lines.append(f"! {sizes['stale']}; --refresh measures it again")
    lines += ["", "Estimate", *_estimate(estimate), "", "Preprocessing"]
    tab = preview["preprocessing"]
    lines += [_share(name, tab[name]) for name in ("preprocessing", "other", "total")]
    lines += [_share(f"  {kind}", share) for kind, share in tab["kinds"].items()]
    lines += ["", "Intermediate results"]
    lines += [f"  {item['job'].rstrip('/'):24} {human_size(item['bytes']):>10}" for item in preview["intermediates"]]
    lines += ["", "Non-final", *(_share(name, share) for name, share in preview["non_final"].items())]
    lines += ["", "Killed and failed", *(_share(name, share) for name, share in preview["killed_failed"].items()), ""]
    lines += [f"{item['action']:12} {item['job'].rstrip('/'):24} {human_size(item['bytes']):>10}  "
              f"{'; '.join(item['reasons'])}" for item in preview["actions"]]
    lines += [f"{'stays':12} {item['job'].rstrip('/'):24} {'':>10}  {item['reason']}" for item in preview["skipped"]]
    return lines


def _estimate(estimate: Mapping[str, Any]) -> list[str]:
    filled = round(_BAR * estimate["percent"] / 100)
    after = human_size(estimate["project_bytes"] - estimate["bytes"])
    return [f"  {estimate['cleared']} cleared, {estimate['intermediate_only']} only intermediate results, "
            f"{estimate['deleted']} deleted; {estimate['modified']} jobs in total",
            f"  [{'#' * filled}{'.' * (_BAR - filled)}] {human_size(estimate['bytes'])} of "
            f"{human_size(estimate['project_bytes'])} ({estimate['percent']} %) go to the Trash, which "
            f"`cryosnake empty-trash` frees; {after} stay"]


def _share(name: str, share: Mapping[str, Any]) -> str:
    return f"  {name:24} {share['jobs']:4} jobs {human_size(share['bytes']):>10} {share['percent']:6.1f} %"
