"""Functions of the commands in `cli/cleaning.py`: `run_<command>` takes the arguments and returns the exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cryosnake.cli.commands import Arguments
from cryosnake.errors import CryosnakeError
from cryosnake.human import human_size
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.model import Pipeline, Status
from cryosnake.project.building.clean_up import ChosenCleanup, choose_cleanup
from cryosnake.project.cleaning import clean, delete, undelete
from cryosnake.project.cleaning.bulk import run
from cryosnake.project.cleaning.bulk.advice import rank
from cryosnake.project.cleaning.bulk.facts import KINDS, JobFacts, read_facts
from cryosnake.project.cleaning.bulk.preview import preview_text
from cryosnake.project.cleaning.delete import current_pipeline, finish_deletions
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.records import archive, own_trash
from cryosnake.project.records.cleaned_files import set_wanted
from cryosnake.project.records.file_sizes import folder_size
from cryosnake.report.cleanup_page import cleanup_page


def run_delete(arguments: Arguments) -> int:
    """Move jobs, and everything that depends on them, to the Trash."""
    if delete.cut_short(current_pipeline()) and not arguments.dry_run:
        with cleaning_up():
            print("finished an interrupted deletion:", *finish_deletions(current_pipeline()))
    pipeline = current_pipeline()
    jobs = [job for job in arguments.jobs if _finds(find_job, job, pipeline) or not _finds(undelete.deletion_of, job)]
    for job in arguments.jobs:
        if job not in jobs:  # a repeated command
            print(f"{job} is in the Trash")
    if not jobs:
        return 0
    deletion = delete.plan_deletion(pipeline, jobs)
    for name in deletion.all:
        why = "" if name in deletion.named else "   depends on what is deleted"
        if os.path.islink(name.rstrip("/")):
            why += f"   a link: its files stay in {os.path.realpath(name)}"
        alias = pipeline.processes[name].short_alias
        print(f"{name.rstrip('/')}  {alias}  {human_size(folder_size(name))}{why}")
    if arguments.dry_run:
        return 0
    more = len(deletion.all) - len(deletion.named)
    if more and not arguments.yes:
        print(f"{more} more jobs depend on those that you named; nothing was done. Add --yes to delete all of them")
        return 1
    with cleaning_up():
        delete.delete_jobs(deletion)
    print(f"{len(deletion.all)} jobs are in the Trash; `cryosnake undelete {deletion.named[0].rstrip('/')}` restores "
          "them. A job that is still in config.yaml is made again by the next `snakemake`")
    return 0


def _finds(look_up: Callable[..., object], *what: object) -> bool:
    """Return whether a look-up finds something."""
    try:
        look_up(*what)
    except CryosnakeError:
        return False
    return True


def run_undelete(arguments: Arguments) -> None:
    """Restore deleted jobs, or list them."""
    if not arguments.jobs:
        for item in undelete.deletions():
            print(", ".join(name.rstrip("/") for name in item.part.processes))
    for job in arguments.jobs:
        with cleaning_up():
            finish_deletions(current_pipeline())
            try:
                deleted = undelete.deletion_of(job)
            except CryosnakeError:
                if not _finds(find_job, job, current_pipeline()):
                    raise
                print(f"{job} is in the project")  # a repeated command
                continue
            notes = undelete.undelete(deleted)
        print("restored:", ", ".join(name.rstrip("/") for name in deleted.part.processes), *notes, sep="\n")


def run_empty_trash(arguments: Arguments) -> None:
    """Permanently delete what is in the Trash."""
    if arguments.yes:
        with cleaning_up():
            print(f"{human_size(undelete.empty_trash())} freed")
        return
    jobs = [name.rstrip("/") for item in undelete.deletions() for name in item.part.processes]
    print(f"the Trash contains {human_size(own_trash.trash_size())}; deleted jobs: "
          f"{', '.join(jobs) or 'none'}. --yes deletes it permanently")


def run_clean(arguments: Arguments) -> int:
    """Move files that jobs no longer need to the Trash."""
    if arguments.all == bool(arguments.jobs) or (arguments.relion and arguments.level == "clear"):
        raise CryosnakeError("name jobs, or use --all; --relion works only with --gentle or --harsh")
    pipeline = current_pipeline()
    names = [name for name, process in pipeline.processes.items() if process.status == Status.SUCCEEDED]
    if not arguments.all:
        names = [find_job(job, pipeline).name for job in arguments.jobs]
    total, refused, cleaned = 0, 0, 0
    for name in names:
        try:
            action = clean.plan_action(pipeline, name, arguments.level, relion=arguments.relion, force=arguments.force)
            if not arguments.dry_run:
                with cleaning_up():
                    clean.clean(action)
        except CryosnakeError as error:  # one protected job does not stop the others
            print(f"cryosnake: {error}", file=sys.stderr)
            refused += 1
            continue
        total, cleaned = total + action.bytes, cleaned + 1
        print(f"{name.rstrip('/')}  {len(action.files)} files  {human_size(action.bytes)}")
        if action.kept:
            print(f"  {action.kept}")
    if refused and not cleaned:
        print("nothing was cleaned: every job was refused", file=sys.stderr)
        return 1
    verb = ("would be moved to the Trash" if arguments.dry_run else
            "are now in the Trash; `cryosnake unclean JOB` restores them")
    print(f"{human_size(total)} {verb}")
    return int(refused > 0 and not arguments.all)


def run_unclean(arguments: Arguments) -> int:
    """Restore cleaned files from the Trash."""
    incomplete = False
    for job in arguments.jobs:
        name = find_job(job, current_pipeline()).name
        with cleaning_up():
            gone = clean.unclean(name)
        if gone and arguments.recompute:
            set_wanted(name.rstrip("/"), True)
            print(f"{name.rstrip('/')}: {len(gone)} files will be computed again by the next `snakemake`")
            continue
        incomplete = incomplete or bool(gone)
        print(f"{name.rstrip('/')}: " + (
            f"{len(gone)} files are no longer in the Trash, such as {gone[0]}; --recompute lets the next `snakemake` "
            "compute them again, as it does when a job needs them" if gone else "all files are restored"))
    return int(incomplete)


def run_cleanup(arguments: Arguments) -> int:
    """Preview a clean-up of many jobs, or carry it out."""
    cut_short = run.unfinished_manifest()
    if cut_short and arguments.apply:
        return _carry_out(cut_short)
    if arguments.advice:
        pipeline = current_pipeline()
        _print_advice(pipeline, read_facts(pipeline))
        return 0
    found = choose_cleanup(_chosen(arguments), arguments.workspace, measure=arguments.refresh)
    _show(arguments, found)
    if cut_short:
        print(f"a clean-up was interrupted ({cut_short}); --apply finishes it first")
    return _carry_out(run.write_manifest(found.plan)) if arguments.apply and found.plan.actions else 0


def _chosen(arguments: Arguments) -> set[str]:
    kinds = set(filter(None, arguments.preprocessing.split(",")))
    if kinds - KINDS.keys():
        raise CryosnakeError(f"--preprocessing takes {','.join(KINDS)}, not {','.join(sorted(kinds - KINDS.keys()))}")
    return kinds.union(arguments.chosen or ())


def _show(arguments: Arguments, found: ChosenCleanup) -> None:
    shown = found.shown
    if arguments.html:
        arguments.html.write_text(cleanup_page(shown))
    if arguments.json:
        print(json.dumps(shown, indent=1))
        return
    print("\n".join(preview_text(shown)))
    if shown["made_again"]:
        print(f"\n! still in config.yaml, and made again by the next `snakemake`: {', '.join(shown['made_again'])}")
    if not arguments.apply:
        print("\nnothing was done; " + ("--apply moves these to the Trash" if found.plan.actions
                                        else "nothing is selected"))


def _print_advice(pipeline: Pipeline, facts: Sequence[JobFacts]) -> None:
    for item in rank(pipeline, facts):
        hours = "not recorded" if item.hours is None else f"{item.hours:.2f} h"
        print(f"{item.name.rstrip('/'):24} {human_size(item.bytes):>10}  {hours:>12}  "
              f"{human_size(int(item.bytes_per_hour)):>10}/h  {item.back}")


def _carry_out(manifest: Path) -> int:
    with cleaning_up():
        finish_deletions(current_pipeline())
        left = run.run_manifest(manifest, print)
    print(f"done; {manifest} lists what was moved to the Trash. `cryosnake unclean JOB` and `undelete JOB` restore it, "
          "`cryosnake empty-trash` frees the space")
    return int(bool(left))


def run_archive(_: Arguments) -> None:
    """Make the project read-only."""
    with cleaning_up():
        archive.archive()
    print("archived: the folder may be moved; `cryosnake unarchive`, run in it, opens it again")


def run_unarchive(_: Arguments) -> None:
    """Open an archived project again."""
    for link in archive.unarchive():
        print(f"{link} is a broken link; point it to where the data are now (ln -sfn)")
    print("the project is open again")
