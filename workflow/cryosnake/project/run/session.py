"""One call of Snakemake: the plan while it parses, and the project's files at start, success and failure.

Parsing writes nothing, for Snakemake also parses for a dry run, a graph, a report or a list of rules. Only before it
builds the DAG it says whether it will make files: then the project is claimed and repaired (`_begin`), and once
Snakemake holds its lock the plan is made real (`start`).
"""

from __future__ import annotations

import atexit
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import chdir, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from cryosnake import __version__
from cryosnake.errors import CryosnakeError
from cryosnake.installation import PACKAGE, workflow_folder
from cryosnake.pipeline.types import PROCESS_TYPES
from cryosnake.project import snakemake_internals
from cryosnake.project.config.config import BY_WATCHER, INTERNAL_KEYS, ConfigError, parse_config
from cryosnake.project.planning import frozen_plan
from cryosnake.project.planning.forced import forced_jobs
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Plan, PlannedJob
from cryosnake.project.planning.rule_values import rule_name
from cryosnake.project.planning.unfinished import empty_outputs

CONFIG = "config.yaml"
LINKED = ".cryosnake/package"  # a folder with a link to this package alone


def brings_jobs(config: Mapping[str, Any]) -> bool:
    """Whether the command line gives the jobs already, so that config.yaml must not be read."""
    return "jobs" in config or frozen_plan.KEY in config


def read_config(workflow: Any, config: dict[str, Any]) -> None:
    """Put the data of config.yaml below what the command line gives, unless that has the jobs already.

    Snakemake's `configfile:` would run code that is in the file. The files of `--configfile`, which Snakemake has read
    already, are checked as config.yaml is.

    Raises
    ------
    snakemake.exceptions.WorkflowError
        for a file that can't be read, or is not plain data
    """
    from cryosnake.project.config.reading import read_config_file

    if frozen_plan.KEY in config:
        return
    files = snakemake_internals.named_config_files(workflow)
    try:
        if snakemake_internals.has_config_of_module(workflow):
            _refuse_switches(config)
            return
        for file in files:
            read_config_file(file)
        _refuse_switches(config)
        if not brings_jobs(config) and (os.path.exists(CONFIG) or not files):
            snakemake_internals.put_below(workflow, config, read_config_file(CONFIG), CONFIG)
    except FileNotFoundError:
        raise snakemake_internals.refusal(f"{CONFIG}: there is no such file; a project needs one (`snakemake -d "
                                          "FOLDER` runs the project of another folder)") from None
    except CryosnakeError as error:
        raise snakemake_internals.refusal(str(error)) from None


def _refuse_switches(config: Mapping[str, Any]) -> None:
    found = [] if os.environ.get(BY_WATCHER) else [key for key in INTERNAL_KEYS if key in config]
    if found:
        raise CryosnakeError(f"{found[0]}: only `cryosnake watch` sets this, for its own calls; leave it out")


def open_project(workflow: Any, config: Mapping[str, Any]) -> Plan:
    """Return the plan of a project, checked; nothing is written.

    The project is in the working directory, or in the folder that a module has as its prefix. If this call of Snakemake
    turns out to make files, it then claims the project, and makes the plan real before its first job. A job on another
    computer gets the plan with which its run started.

    Raises
    ------
    snakemake.exceptions.WorkflowError
        for every mistake of the user, with the line of the config where there is one
    """
    try:
        folder = snakemake_internals.module_folder(workflow)
        handed_on = snakemake_internals.command_line_config(workflow).get(frozen_plan.key_of(folder))
        if handed_on:
            return frozen_plan.thaw(handed_on)
        return _opened(workflow, config, folder)
    except CryosnakeError as error:
        raise snakemake_internals.refusal(_located(workflow, error)) from None


def _opened(workflow: Any, config: Mapping[str, Any], folder: str) -> Plan:
    """Return the plan of a project, once for all `use rule` statements that take rules from the same module."""
    projects = vars(workflow).setdefault("projects_of_cryosnake", {})
    if folder in projects:
        known, known_plan = projects[folder]
        if known != config:
            raise CryosnakeError(f"two modules with different configs share the folder {folder or os.getcwd()}, and "
                                 "would take each other's job numbers: give each a folder, as in `prefix: \"second\"`")
        return cast(Plan, known_plan)
    _check_version()
    if snakemake_internals.is_module(workflow) and not config:
        raise CryosnakeError("the module has no config: write `configfile: \"config.yaml\"` above it, in it `config: "
                             "config`, or `config: config[\"cryosnake\"]` for a part of yours")
    request = snakemake_internals.request()
    plan: Plan = _plan(workflow, config, folder, request)
    projects[folder] = dict(config), plan
    as_module = snakemake_internals.is_module(workflow)
    repeats = not (request.again or request.everything or as_module or os.environ.get(BY_WATCHER))
    begin = partial(_begin, workflow, plan, as_module=as_module, repeats=repeats)
    snakemake_internals.before_dag(workflow, begin)
    if snakemake_internals.is_main(workflow):
        _announce(plan)
        if request.builds_dag:
            atexit.register(_say_what_waits, os.getcwd(), plan)
    return plan


def _say_what_waits(folder: str, plan: Plan) -> None:
    """Say last of all what waits for a person, in the files as they are then."""
    sys.stdout.flush()
    with suppress(OSError), chdir(os.path.join(folder, plan.folder)):
        for line in _waiting_for_you(plan):
            print(line, file=sys.stderr)


def _waiting_for_you(plan: Plan) -> list[str]:
    from cryosnake.project.planning.choices import waiting_for_you  # here: most plans wait for nobody

    return [waiting.line for waiting in waiting_for_you(plan)] if any(
        job.choice or job.config.type.by_hand for job in plan.jobs.values()) else []


def _plan(workflow: Any, config: Mapping[str, Any], folder: str, request: snakemake_internals.Request) -> Plan:
    from cryosnake.project.planning.before_run import refuse_unusable

    parsed = parse_config(config)
    forced = forced_jobs(parsed.jobs, request, folder, partial(snakemake_internals.name_of_rule, workflow))
    if folder and not os.path.isdir(folder):
        raise CryosnakeError(f"{folder}: there is no such folder; it is the module's prefix, where cryosnake looks for "
                             "the movies of the config and makes its jobs")
    with snakemake_internals.in_project(folder):
        plan = make_plan(parsed, forced=forced, leave_out=_half_deleted(), without_data=not request.builds_dag,
                         at_once=snakemake_internals.jobs_at_once(workflow))
        if request.builds_dag:
            refuse_unusable(plan, elsewhere=snakemake_internals.runs_elsewhere(workflow))
    for job in plan.jobs.values():
        if job.why_held and snakemake_internals.name_of_rule(workflow, rule_name(job.name)) in request.targets:
            raise CryosnakeError("; ".join([f"{job.name} {job.why_held}", *_waiting_for_you(plan)]))
    return replace(plan, cores=snakemake_internals.cores_given(workflow), gpu=_gpus_to_ask_for(workflow),
                   lane=parsed.lane, folder=folder)


def _announce(plan: Plan) -> None:
    from cryosnake.project.planning.before_run import doubts

    said = [f"WARNING: {line}" for line in doubts(plan)]
    said += [f"not yet imported: {path}: {reason}" for path, reason in plan.waiting]
    said += [f"{job.name} {job.why_held}" for job in plan.jobs.values() if job.why_held]
    said += [f"{job.name}: {job.supersedes} -> {job.path.rpartition('/')[2]} ({job.growth})"
             for job in plan.own if job.growth]
    said += [f"{job.name} is made again: as {job.path}, beside what is finished" if job.new else
             f"{job.name} is made again: the next revision of each batch" for job in plan.jobs.values() if job.forced]
    said += [f"{file} is empty, as after a power cut, and is made again" for file in empty_outputs(plan)]
    print(*said, sep="\n", end="\n" * bool(said), file=sys.stderr)


def _check_version() -> None:
    version = snakemake_internals.version()
    if int(version.partition(".")[0]) >= snakemake_internals.UNTESTED:
        raise CryosnakeError(f"cryosnake {__version__} was not tested with Snakemake {version}: install a newer "
                             f"cryosnake, or pip install 'snakemake<{snakemake_internals.UNTESTED}'")


def _begin(workflow: Any, plan: Plan, *, as_module: bool, repeats: bool) -> None:
    """Before the DAG: if files will be made, claim the project, and repair what killed runs left in it.

    Snakemake then finds no lock and no marks of a run that was killed. `repeats` says whether the same command may
    start again by itself when it has made what jobs waited for.
    """
    if not snakemake_internals.executes(workflow):
        if snakemake_internals.is_main(workflow):
            _compare_copied(workflow, plan)
        return
    from cryosnake.project.run.again import repeat_at_exit
    from cryosnake.project.run.begin import claim, finish_interrupted_deletions, repair_after_kills, restore_copied

    try:
        with snakemake_internals.in_project(plan.folder):
            repeat_at_exit()
            claim(plan.lane)
            if not plan.lane and _half_deleted():
                finish_interrupted_deletions()
            snakemake_internals.put_times(workflow, restore_copied(plan))
            repair_after_kills(plan)
    except CryosnakeError as error:
        raise snakemake_internals.refusal(str(error)) from None
    handlers = {"start": partial(start, workflow, plan, as_module), "success": partial(succeed, plan, repeats),
                "error": partial(fail, plan, time.time())}
    snakemake_internals.add_handlers(workflow, **{event: _in_project(plan, act) for event, act in handlers.items()})


def _compare_copied(workflow: Any, plan: Plan) -> None:
    """In a dry run, or a query: files that are the same as recorded count with their recorded times."""
    from cryosnake.project.run.copied_files import changed_movies, future_times, say_copied, say_future, times_of_record

    with snakemake_internals.in_project(plan.folder):
        times, now = times_of_record(plan), time.time_ns()
        say_copied(times, changed_movies(plan))
        say_future(future_times(plan, now), now)
        snakemake_internals.put_times(workflow, times)


def _in_project(plan: Plan, act: Callable[[], None]) -> Callable[[], None]:
    def handle() -> None:
        with snakemake_internals.in_project(plan.folder):
            act()

    return handle


def start(workflow: Any, plan: Plan, as_module: bool = False) -> None:
    """Before the first job: numbers, directories, pipeline, batches. Snakemake holds its lock here."""
    from cryosnake.project.locks.snakemake_lock import claim_lane, claim_run, other_lane_works
    from cryosnake.project.run.commit import commit
    from cryosnake.project.run.run_status import fail_dead_jobs

    try:
        if plan.lane:
            claim_lane(plan.lane)
        else:
            claim_run(insist=True)
        commit(plan)
    except CryosnakeError as error:
        raise snakemake_internals.refusal(str(error)) from None
    if plan.lane:
        claim_lane(plan.lane, begun=True)
    beside = {job.path for job in plan.jobs.values()} - {job.path for job in plan.own}
    for path in fail_dead_jobs(beside if other_lane_works(plan.lane) else ()):
        print(f"{path}: was left as running by a run that was killed; marked as failed", file=sys.stderr)
    if snakemake_internals.submits_jobs(workflow):
        _prepare_cluster_run(workflow, plan, as_module)


def succeed(plan: Plan, repeats: bool = False) -> None:
    """After a run in which every job succeeded: superseded jobs are settled; markers and backup copies are renewed."""
    from cryosnake.project.run.again import go_on
    from cryosnake.project.run.bound_numbers import record_bound_numbers
    from cryosnake.project.run.closing import close_success, tidy_results
    from cryosnake.project.run.copied_files import record_files
    from cryosnake.project.run.run_status import forget_abort_requests
    from cryosnake.project.run.superseded import settle_superseded

    tidy_results(plan.own)
    record_bound_numbers(plan.own)
    record_files(plan)
    forget_abort_requests(plan.own)
    if not plan.lane:  # the watcher does so between the calls of its lanes
        settle_superseded(plan)
    close_success(plan)
    if not plan.lane:
        go_on(plan, by_itself=repeats)


def fail(plan: Plan, since: float) -> None:
    """After a run that began at a time (seconds) and failed: nothing is left as running, and the reasons are said."""
    from cryosnake.project.run.bound_numbers import record_bound_numbers
    from cryosnake.project.run.closing import tidy_results
    from cryosnake.project.run.cluster_failures import failed_jobs
    from cryosnake.project.run.copied_files import record_files
    from cryosnake.project.run.run_status import close_run, failures, forget_abort_requests

    forget_abort_requests(plan.own)
    close_run(plan.own, failed_jobs(plan.folder))
    tidy_results(plan.own)
    record_bound_numbers(plan.own)
    record_files(plan)
    print(*failures(plan.own, since), sep="\n", file=sys.stderr)


def environment(workflow: Any) -> str:
    """Return the shell commands that every rule starts with: this package, and this Python.

    With conda the environment brings its own Python, and all packages but this one. An installed package has others
    beside it, which are not those of the environment: there the jobs see it by a link.
    """
    commands, folder = "set -euo pipefail; ", str(PACKAGE.parent)
    conda = snakemake_internals.has_environments(workflow)
    if conda and workflow_folder().is_relative_to(PACKAGE):
        commands += f"mkdir -p {LINKED}; ln -sfn {shlex.quote(str(PACKAGE))} {LINKED}/cryosnake; "
        folder = os.path.abspath(LINKED)
    packages = filter(None, [folder, os.environ.get("PYTHONPATH")])
    variables = [f"PYTHONPATH={shlex.quote(':'.join(packages))}", "CRYOSNAKE_WORKFLOW=1"]
    if not conda:
        variables.append(f"PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH")
    return f"{commands}export {' '.join(variables)}; "


def times_as_much(job: PlannedJob, batch: str, attempt: int, what: str) -> int:
    """Return how many times as much "memory" or "time" an attempt asks for: more of what others had too little of."""
    if attempt == 1:
        return 1
    from cryosnake.project.run.cluster_failures import times_as_much

    return times_as_much(job.path, batch, attempt, what)


def _gpus_to_ask_for(workflow: Any) -> bool:
    """Whether jobs with `device: auto` ask for a GPU: where `resources: gpu=N` says so, else if one is here."""
    limit = snakemake_internals.limit_of(workflow, "gpu")
    return os.path.exists("/dev/nvidia0") if limit is None else limit > 0


def _prepare_cluster_run(workflow: Any, plan: Plan, as_module: bool) -> None:
    """Let the jobs find this plan, and report jobs that the scheduler ended or cannot start."""
    from cryosnake.project.run.cluster_failures import listen
    from cryosnake.project.run.pending_jobs import watch

    snakemake_internals.hand_on(workflow, frozen_plan.key_of(plan.folder), frozen_plan.freeze(plan))
    if not as_module:  # the plan takes the place of config files
        snakemake_internals.forget_config_files(workflow)
    listen(workflow, plan)
    watch()


def _half_deleted() -> set[str]:
    """Return the jobs ("Class2D/job003") that an interrupted deletion left outside the Trash; usually at no cost."""
    folders = {kind.folder for kind in PROCESS_TYPES}
    if not any(next(Path(folder).glob("job*/deleted_pipeline.star"), None) for folder in folders):
        return set()
    from cryosnake.project.cleaning.delete import current_pipeline, half_deleted

    return {path.rstrip("/") for paths in half_deleted(current_pipeline()).values() for path in paths}


def _located(workflow: Any, error: CryosnakeError) -> str:
    """Return the message, with file and line for a mistake in the config."""
    if not isinstance(error, ConfigError):
        return str(error)
    from cryosnake.project.config.lines import line_of

    files = [*snakemake_internals.config_files(workflow), CONFIG]
    where = next((f"{file}, line {line}: " for file in files if (line := line_of(file, error.key))), "")
    return f"{where}{error}"
