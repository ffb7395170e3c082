"""All that this package uses of Snakemake beyond its documented interface: attributes, files, events and texts.

`tests/project/test_snakemake_internals.py` asks Snakemake itself for each of them, and fails when one has changed. The
versions with which that was tested are in pyproject.toml.
"""

from __future__ import annotations

import binascii
import os
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

LOCKS = Path(".snakemake", "locks")
MARKS = Path(".snakemake", "incomplete")
CLUSTER_LOGS = Path(".snakemake", "slurm_logs")
UNTESTED = 10  # the first major version that this was not tested with
LONGEST = 200  # characters of a mark's name: Snakemake splits longer ones
_ARRAY = "for array job submission "  # logged of a refused array, of which each job only says "see log"
REFUSED = (rf"(?s)sbatch failed(?: {_ARRAY}\(tasks [\d-]+\))?\. The error message was "
           r"'(?:sbatch: )?(?:error: )?(.*?)'\.?\n")  # compiled by its user


_up = Path()  # Snakemake's working directory, from the project
_folder = ""  # the project, from there: with "/" at its end, "" where it is the same


@contextmanager
def in_project(folder: str) -> Iterator[None]:
    """Work in a project in a folder of Snakemake's working directory (a module's prefix), "" for that itself."""
    global _up, _folder
    before = _up, _folder
    with chdir(folder or "."):
        if folder:
            _up, _folder = Path(os.path.relpath(".", folder)), f"{folder}/"
        try:
            yield
        finally:
            _up, _folder = before


def version() -> str:
    """Return the version of the Snakemake that parses the Snakefile."""
    return str(sys.modules["snakemake.common"].__version__)


def is_main(workflow: Any) -> bool:
    """Whether this process is the call of Snakemake itself, not one of its jobs that parses the Snakefile again."""
    return bool(workflow.is_main_process)


def executes(workflow: Any) -> bool:
    """Whether this call makes files: no dry run, no --touch, no query. Known when `before_dag` acts, False earlier."""
    return is_main(workflow) and workflow.executor_plugin is not None and not (workflow.dryrun or workflow.touch)


def before_dag(workflow: Any, act: Callable[[], None]) -> None:
    """Let Snakemake call something when all is parsed, before it reads marks and locks and builds a DAG.

    Snakemake has no hook there, and calls `onstart` only later: it has then refused a lock or incomplete files.
    """
    prepare = workflow._prepare_dag

    def act_first(*args: Any, **options: Any) -> None:
        act()
        prepare(*args, **options)

    workflow._prepare_dag = act_first


def put_times(workflow: Any, times: Mapping[str, int]) -> None:
    """Let Snakemake compare files by these times (ns, by paths of the project), not by those that they have.

    To be called `before_dag`; the cache of times is made after that, and is in use until the first job starts.
    """
    build, of = workflow._build_dag, {f"{_folder}{path}": moment / 1e9 for path, moment in times.items()}

    def build_with_times(*args: Any, **options: Any) -> None:
        collect = workflow.iocache.collect_mtime

        async def recorded(path: Any) -> Any:
            found = await collect(path)
            return type(found)(local=of[str(path)], local_target=of[str(path)]) if str(path) in of else found

        workflow.iocache.collect_mtime = recorded
        build(*args, **options)

    if of:
        workflow._build_dag = build_with_times


def add_handlers(workflow: Any, **handlers: Callable[[], None]) -> None:
    """Call functions at `start`, `success` and `error` of a run, before those of the main Snakefile.

    Snakemake ignores the `onstart:` of a module. And --no-hooks is refused: without them a run would be lost.
    """
    if workflow.execution_settings.no_hooks:
        raise refusal("--no-hooks: cryosnake gives jobs their numbers and directories in a hook; leave the option out")
    for event, handler in handlers.items():
        setattr(workflow, f"_on{event}", _both(handler, getattr(workflow, f"_on{event}")))


def _both(first: Callable[[], None], then: Callable[[Any], None]) -> Callable[[Any], None]:
    def call(log: Any) -> None:
        first()
        then(log)

    return call


@dataclass(frozen=True, kw_only=True)
class Request:
    """What Snakemake is asked to make: targets, and rules or files that are to be made again though they exist.

    `builds_dag` is False for --lint and lists of rules, `everything` True for --forceall.
    """

    builds_dag: bool = False
    targets: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    everything: bool = False


def request() -> Request:
    """Return what this call was asked for: Snakemake hands it to the workflow only when that has been parsed.

    With --touch nothing is made again, though it is often called with --forceall.
    """
    callers = list(_callers())
    api = next((found["self"] for name, found in callers
                if name == "__post_init__" and type(found["self"]).__name__ == "DAGApi"), None)
    if api is None:
        return Request()
    targets = tuple(map(str, api.dag_settings.targets))
    if any(name == "args_to_api" and found["args"].touch for name, found in callers):
        return Request(builds_dag=True, targets=targets)
    again = (*map(str, api.dag_settings.forcerun), *(targets if api.dag_settings.forcetargets else ()))
    return Request(builds_dag=True, targets=targets, again=again, everything=api.dag_settings.forceall)


def _callers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and local variables of the functions that are being called, the innermost first."""
    frame = sys._getframe().f_back
    while frame is not None:
        yield frame.f_code.co_name, frame.f_locals
        frame = frame.f_back


def module_folder(workflow: Any) -> str:
    """Return the folder that the module which is being parsed has as its `prefix:`, "" for none and outside modules."""
    if workflow.modifier.path_modifier.modifies_prefixes:
        raise refusal("replace_prefix: does not work for cryosnake, whose programs look for files in the folders that "
                      "RELION gives them; use `prefix:` with one folder for the whole project")
    return os.path.dirname(str(workflow.modifier.modify_path("project")))


def is_module(workflow: Any) -> bool:
    """Whether the Snakefile is being parsed as a module of another one."""
    return not workflow.modifier.is_main_snakefile()


def name_of_rule(workflow: Any, name: str) -> str:
    """Return the name that a rule of the Snakefile which is being parsed gets: `use rule … as` may change it."""
    return str(workflow.modifier.modify_rulename(name))


def command_line_config(workflow: Any) -> Any:
    """Return the values of `--config` and `--configfile`; a module sees only what its user hands on."""
    return workflow.config_settings.overwrite_config


def submits_jobs(workflow: Any) -> bool:
    """Whether jobs run on other computers; known from the start of the run."""
    return bool(workflow.non_local_exec)


def has_environments(workflow: Any) -> bool:
    """Whether conda or a container brings the programs of rules."""
    return bool(workflow.deployment_settings.deployment_method)


def limit_of(workflow: Any, resource: str) -> int | None:
    """Return the limit of a resource (`--resources gpu=2`), None without one."""
    value = getattr(workflow.global_resources.get(resource), "value", None)  # None also where the profile says nothing
    return None if value is None else int(value)


def cores_given(workflow: Any) -> int:
    """Return the cores of this computer that the call may use, 0 where jobs run elsewhere or nothing was said."""
    settings = workflow.resource_settings
    return 0 if settings.nodes else int(settings.cores or 0)


def runs_elsewhere(workflow: Any) -> bool:
    """Whether the command line, or its profile, speaks of jobs on other computers."""
    return bool(workflow.resource_settings.nodes)


def jobs_at_once(workflow: Any) -> int:
    """Return how many jobs run at a time, of one core each: the cores, or `--jobs` of an executor; 1 if unlimited."""
    settings = workflow.resource_settings
    found = int(settings.nodes or settings.cores or 1)
    return found if found < sys.maxsize else 1


def config_files(workflow: Any) -> list[str]:
    """Return the files that the config comes from: those that `--configfile` names, or else the Snakefile."""
    return [str(path) for path in workflow.config_settings.configfiles or workflow.configfiles]


def has_config_of_module(workflow: Any) -> bool:
    """Whether another workflow uses this one as a module and gives it its config."""
    return bool(workflow.modifier.skip_configfile)


def put_below(workflow: Any, config: dict[str, Any], data: Mapping[str, Any], path: str) -> None:
    """Add the data of a file to Snakemake's config where that says nothing itself, as `configfile:` does."""
    from snakemake.utils import update_config

    workflow.configfiles.append(path)
    given = dict(config)
    config.clear()
    config.update(data)
    update_config(config, given)


def named_config_files(workflow: Any) -> list[str]:
    """Return the files that `--configfile` names."""
    return [str(path) for path in workflow.config_settings.configfiles]


def hand_on(workflow: Any, key: str, value: str) -> None:
    """Let the jobs of this run get a value of the config."""
    settings = workflow.config_settings
    settings.config_args = [*(settings.config_args or []), f"{key}={value}"]


def forget_config_files(workflow: Any) -> None:
    """Let the jobs of this run get no config files."""
    workflow.config_settings.configfiles = []


def refusal(message: str) -> Exception:
    """Return the exception with which Snakemake ends without a traceback."""
    from snakemake.exceptions import WorkflowError

    found: Exception = WorkflowError(message)
    return found


def remove_lock() -> bool:
    """Remove Snakemake's lock of the project; return whether there was one."""
    stale = list(Path(_up, LOCKS).glob("*.lock"))
    for lock in stale:
        lock.unlink(missing_ok=True)
    return bool(stale)


def marks() -> dict[str, Path]:
    """Return the files of the project that Snakemake treats as incomplete, and what marks each."""
    return {name.removeprefix(_folder): path for name, path in _marks() if name.startswith(_folder)}


def _marks() -> Iterator[tuple[str, Path]]:
    """Yield them: marks are named by base64, a long name in several folders, "@" each."""
    for folder, _, names in os.walk(_up / MARKS):
        parts = [part.removeprefix("@") for part in Path(folder).relative_to(_up / MARKS).parts]
        for name in names:
            try:
                yield urlsafe_b64decode("".join([*parts, name])).decode(), Path(folder, name)
            except (binascii.Error, UnicodeDecodeError):
                continue


def mark(path: str) -> bool:
    """Let Snakemake treat a file as incomplete; return False for a path that is too long."""
    name = urlsafe_b64encode(f"{_folder}{path}".encode()).decode()
    if len(name) > LONGEST:
        return False
    Path(_up, MARKS).mkdir(parents=True, exist_ok=True)
    Path(_up, MARKS, name).write_text('{"external_jobid": null}')
    return True


@dataclass(frozen=True, kw_only=True)
class FailedJob:
    """A job that Snakemake reports as failed; `external` is the scheduler's number, "" for a job of this computer."""

    number: Any
    rule: str
    said: str
    outputs: tuple[str, ...]
    external: str


def listener(finished: Callable[[Any], object], failed: Callable[[FailedJob], object]) -> logging.Handler:
    """Return what hears of finished jobs (by number) and of failed ones from Snakemake's log."""
    import logging  # here: every job of a cluster that parses the Snakefile imports this module

    class Listener(logging.Handler):
        array = ""

        def emit(self, record: logging.LogRecord) -> None:
            event, content = getattr(getattr(record, "event", None), "value", ""), vars(record)
            try:
                if not event and _ARRAY in str(record.msg):
                    self.array = str(record.msg)
                elif event == "job_finished":
                    finished(content["job_id"])
                elif event == "job_error":
                    said = str(content["rule_msg"] or "")
                    said = self.array if "failed array sbatch" in said else said
                    failed(FailedJob(number=content["jobid"], rule=content["rule_name"], said=said,
                                     outputs=tuple(map(str, content["output"])),
                                     external=str(content["aux"].get("external_jobid", ""))))
            except Exception:  # what is said about a failure must not add another one
                self.handleError(record)

    return Listener(logging.INFO)


def begin_listening(handler: logging.Handler) -> None:
    """Hand Snakemake's log to what `listener` returns."""
    from snakemake.logging import logger

    logger.addHandler(handler)


def forbid_retries(workflow: Any, rule: str) -> None:
    """Let Snakemake not try a rule's failed jobs again in this run."""
    workflow.get_rule(rule).restart_times = 0


def resources_of(workflow: Any, number: Any) -> Any:
    """Return the resources of a job by Snakemake's number, an empty mapping where it is unknown."""
    return next((job.resources for job in workflow.dag.jobs if workflow.dag.jobid(job) == number), {})


def cluster_log(external: str) -> Path | None:
    """Return the log of a job of SLURM's executor by the scheduler's number."""
    return next(CLUSTER_LOGS.rglob(f"{external}.log"), None) if external else None


def rule_of_comment(comment: str) -> str:
    """Return the rule of a job in SLURM's queue by its comment `rule_motion_wildcards_0001`; "" for other jobs."""
    return comment.removeprefix("rule_").partition("_wildcards_")[0] if comment.startswith("rule_") else ""
