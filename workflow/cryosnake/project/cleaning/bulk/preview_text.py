"""The preview of a clean-up as lines of text."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from cryosnake.project.records.human import human_size

_BAR = 40  # characters


def preview_text(preview: Mapping[str, Any]) -> list[str]:
    """Return the lines of a preview from `cleanup_tabs.preview`."""
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
            f"{estimate['deleted']} deleted; {estimate['modified']} jobs in all",
            f"  [{'#' * filled}{'.' * (_BAR - filled)}] {human_size(estimate['bytes'])} of "
            f"{human_size(estimate['project_bytes'])} ({estimate['percent']} %); {after} stay"]


def _share(name: str, share: Mapping[str, Any]) -> str:
    return f"  {name:24} {share['jobs']:4} jobs {human_size(share['bytes']):>10} {share['percent']:6.1f} %"
