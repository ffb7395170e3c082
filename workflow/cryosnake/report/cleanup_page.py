"""The preview of a clean-up as one HTML page, with a bar for the project before and after."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from cryosnake.human import human_size

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;width:100%;margin:.5em 0 1.5em}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;
text-align:left}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.bar{display:flex;height:26px;
border-radius:4px;overflow:hidden;margin:.3em 0;background:#eee}.bar span{display:block}.keep{background:#4c78a8}
.clear{background:#f2a03d}.intermediate{background:#e8cf6b}.delete{background:#c8413b}.other{background:#9aa5b1}
.trash{background:#6b5b95}
.warn{background:#fff3cd;border:1px solid #e0b84c;padding:.5em 1em;border-radius:4px}
.key i{display:inline-block;width:.9em;height:.9em;margin:0 .4em 0 1em;border-radius:2px;vertical-align:-1px}"""
_WORDS = {"clear": "cleared", "intermediate": "intermediate results", "delete": "deleted"}


def cleanup_page(preview: Mapping[str, Any]) -> str:
    """Return the HTML page of a preview (see `project/cleaning/bulk/preview.py`)."""
    header, sizes, estimate = preview["header"], preview["sizes"], preview["estimate"]
    name = html.escape(f"{header['name']} · {header['workspace']}" if header["workspace"] else header["name"])
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>Clean-up of {name}</title>",
             f"<style>{_STYLE}</style><h1>Clean-up of {name}</h1>",
             f"<p>{header['jobs']} jobs, {human_size(header['bytes'])}; other files {human_size(sizes['other'])}, "
             f"Trash {human_size(sizes['trash'])}.</p>"]
    if sizes["stale"]:
        parts.append(f"<p class=warn>{html.escape(sizes['stale'])}: measure again with --refresh.</p>")
    if preview["made_again"]:
        names = ", ".join(name.rstrip("/") for name in preview["made_again"])
        parts.append(f"<p class=warn>Still in config.yaml, and made again by the next <code>snakemake</code>: "
                     f"{html.escape(names)}.</p>")
    parts += ["<h2>Estimate</h2>", _bars(estimate, sizes), _estimate(estimate)]
    tab = preview["preprocessing"]
    rows = {**{key: tab[key] for key in ("preprocessing", "other", "total")}, **tab["kinds"]}
    parts += ["<h2>Preprocessing</h2>", _shares(rows), "<h2>Intermediate results</h2>",
              _table(("job", "files", "size"), [(item["job"].rstrip("/"), item["files"], human_size(item["bytes"]))
                                                for item in preview["intermediates"]])]
    parts += ["<h2>Non-final</h2>", _shares(preview["non_final"]), "<h2>Killed and failed</h2>",
              _shares(preview["killed_failed"]), "<h2>What happens to which job</h2>",
              _table(("job", "action", "size", "why"), [
                  (item["job"].rstrip("/"), _WORDS[item["action"]], human_size(item["bytes"]),
                   "; ".join(item["reasons"])) for item in preview["actions"]] + [
                  (item["job"].rstrip("/"), "stays", "", item["reason"]) for item in preview["skipped"]])]
    return "\n".join(parts) + "\n"


def _bars(estimate: Mapping[str, Any], sizes: Mapping[str, Any]) -> str:
    """Return two bars, the project before and after, to the same scale: what is moved is then in the Trash."""
    whole = max(estimate["project_bytes"], 1)
    leaving = estimate["bytes_by_action"]
    stay = max(whole - sizes["other"] - sizes["trash"] - estimate["bytes"], 0)
    rest = [("keep", stay), ("other", sizes["other"])]
    before, after = [*leaving.items(), *rest, ("trash", sizes["trash"])], [
        *rest, ("trash", sizes["trash"] + estimate["bytes"])]
    bars = []
    for title, pieces in (("now", before), ("after", after)):
        spans = "".join(f'<span class="{name}" style="width:{100 * size / whole:.2f}%" '
                        f'title="{name} {human_size(size)}"></span>' for name, size in pieces if size)
        bars.append(f"<div>{title}</div><div class=bar>{spans}</div>")
    keys = "".join(f'<i class="{name}"></i>{word}' for name, word in
                   {**_WORDS, "keep": "jobs that stay", "other": "other files",
                    "trash": "Trash"}.items())
    return "".join(bars) + f"<p class=key>{keys}</p>"


def _estimate(estimate: Mapping[str, Any]) -> str:
    return (f"<p>{estimate['cleared']} jobs cleared, {estimate['intermediate_only']} only their intermediate results, "
            f"{estimate['deleted']} deleted; {estimate['modified']} in total. {human_size(estimate['bytes'])} of "
            f"{human_size(estimate['project_bytes'])} go to the Trash ({estimate['percent']} %); "
            "`cryosnake empty-trash` frees them.</p>")


def _shares(shares: Mapping[str, Mapping[str, Any]]) -> str:
    return _table(("", "jobs", "size", "%"), [(name, share["jobs"], human_size(share["bytes"]), share["percent"])
                                              for name, share in shares.items()])


def _table(titles: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    kinds = ["n" if title in ("jobs", "size", "%", "files") else "" for title in titles]

    def line(tag: str, values: tuple[Any, ...]) -> str:
        return "<tr>" + "".join(f"<{tag} class='{kind}'>{html.escape(str(value))}</{tag}>"
                                for kind, value in zip(kinds, values, strict=True)) + "</tr>"

    return f"<table>{line('th', titles)}{''.join(line('td', row) for row in rows)}</table>"
