"""`cryosnake cleanup`: many jobs at once, as a preview until --apply is given."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from cryosnake.cli.commands import Arguments, Commands


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    cleanup = commands.add_parser(
        "cleanup", help="free space in many jobs at once; shows what would go until --apply is given",
        description="What is ticked is moved to the Trash. Final jobs and raw data are never touched.")
    cleanup.add_argument("--workspace", default="", help="only the jobs of this workspace of config.yaml")
    ticks = cleanup.add_argument_group("what goes")
    for verb in ("clear", "delete"):
        for what, text in (("non-final", "from which no final job comes"), ("failed", "that failed"),
                           ("killed", "that were aborted")):
            ticks.add_argument(f"--{verb}-{what}", action="store_true", help=f"{verb} jobs {text}")
    ticks.add_argument("--preprocessing", default="", metavar="KINDS",
                       help="clear jobs that can be done again with the same result: motion,ctf,extract,picks,restack")
    ticks.add_argument("--intermediates", action="store_true", help="iterations other than the last, of every job")
    cleanup.add_argument("--apply", action="store_true", help="do it (also: go on with one that was cut short)")
    cleanup.add_argument("--refresh", action="store_true", help="measure the whole project again")
    cleanup.add_argument("--json", action="store_true", help="print the preview as JSON")
    cleanup.add_argument("--html", type=Path, metavar="FILE", help="write the preview as a page")
    cleanup.add_argument("--advice", action="store_true", help="rank jobs by what clearing them frees and costs")
    cleanup.set_defaults(function=_cleanup)


def _cleanup(arguments: Arguments) -> int:
    from cryosnake.project.cleaning.bulk.facts import read_facts
    from cryosnake.project.cleaning.bulk.plan import plan_cleanup
    from cryosnake.project.cleaning.bulk.run import unfinished_manifest
    from cryosnake.project.cleaning.delete import current_pipeline

    cut_short = unfinished_manifest()
    if cut_short and arguments.apply:
        return _run(cut_short)
    pipeline = current_pipeline()
    facts = read_facts(pipeline)
    if arguments.advice:
        _print_advice(pipeline, facts)
        return 0
    config = _config()
    members = _members(pipeline, config, arguments.workspace)
    plan = plan_cleanup(pipeline, facts, _choices(arguments), members)
    shown = [job for job in facts if members is None or job.name in members]
    _show(arguments, config, pipeline, shown, plan)
    if cut_short:
        print(f"a clean-up was cut short ({cut_short}); --apply goes on with that one first")
    if arguments.apply and plan.actions:
        from cryosnake.project.cleaning.bulk.run import write_manifest

        return _run(write_manifest(plan))
    return 0


def _choices(arguments: Arguments) -> Any:
    from cryosnake.errors import CryosnakeError
    from cryosnake.pipeline.model import Status
    from cryosnake.project.cleaning.bulk.facts import KINDS
    from cryosnake.project.cleaning.bulk.plan import Choices

    kinds = frozenset(filter(None, arguments.preprocessing.split(",")))
    if kinds - KINDS.keys():
        raise CryosnakeError(f"--preprocessing takes {','.join(KINDS)}, not {','.join(sorted(kinds - KINDS.keys()))}")

    def statuses(verb: str) -> frozenset[Status]:
        words = {"failed": Status.FAILED, "killed": Status.ABORTED}
        return frozenset(status for word, status in words.items() if getattr(arguments, f"{verb}_{word}"))

    return Choices(arguments.workspace, arguments.clear_non_final, arguments.delete_non_final, kinds,
                   arguments.intermediates, statuses("clear"), statuses("delete"))


def _config() -> dict[str, Any]:
    import yaml

    try:
        return yaml.safe_load(Path("config.yaml").read_text()) or {}
    except FileNotFoundError:
        return {}


def _members(pipeline: Any, config: dict[str, Any], workspace: str) -> set[str] | None:
    from cryosnake.project.cleaning.bulk.workspaces import members
    from cryosnake.project.config.config import parse_workspaces

    if not workspace:
        return None
    return members(pipeline, parse_workspaces(config.get("workspaces"), config.get("jobs") or {}), workspace)


def _show(arguments: argparse.Namespace, config: dict[str, Any], pipeline: Any, facts: list[Any], plan: Any) -> None:
    import json

    from cryosnake.project.cleaning.bulk.preview import preview
    from cryosnake.project.cleaning.bulk.preview_text import preview_text
    from cryosnake.project.cleaning.bulk.project_sizes import measure, read_sizes

    sizes = None if arguments.refresh else read_sizes()
    sizes = sizes or measure(pipeline.processes)  # never cleaned up without having been measured
    shown = preview(str(config.get("title") or os.path.basename(os.getcwd())), facts, plan, sizes)
    if arguments.html:
        from cryosnake.report.cleanup_page import cleanup_page

        arguments.html.write_text(cleanup_page(shown))
    print(json.dumps(shown, indent=1) if arguments.json else "\n".join(preview_text(shown)))
    jobs = config.get("jobs") or {}
    listed = [name for name in plan.names("delete") if pipeline.processes[name].short_alias in jobs]
    if listed and not arguments.json:
        print(f"\n! still in config.yaml, and made anew by the next `snakemake`: {', '.join(listed)}")
    if not arguments.apply and not arguments.json:
        print("\nnothing was done; " + ("--apply moves these to the Trash" if plan.actions else "nothing is ticked"))


def _print_advice(pipeline: Any, facts: list[Any]) -> None:
    from cryosnake.project.cleaning.bulk.advice import rank
    from cryosnake.project.records.human import human_size

    for item in rank(pipeline, facts):
        hours = "not recorded" if item.hours is None else f"{item.hours:.2f} h"
        print(f"{item.name.rstrip('/'):24} {human_size(item.bytes):>10}  {hours:>12}  "
              f"{human_size(int(item.bytes_per_hour)):>10}/h  {item.back}")


def _run(manifest: Path) -> int:
    from cryosnake.project.cleaning.bulk.run import run_manifest
    from cryosnake.project.cleaning.delete import current_pipeline, finish_deletions
    from cryosnake.project.locks.clean_up_lock import cleaning_up

    with cleaning_up():
        finish_deletions(current_pipeline())
        left = run_manifest(manifest, print)
    print(f"done; {manifest} lists what went to the Trash. `cryosnake unclean JOB` and `undelete JOB` bring it back, "
          "`cryosnake empty-trash` frees the space")
    return int(bool(left))
