"""One call of Snakemake in this process, with programs that write digests of what they read.

The plan, its commit, the frame of the jobs, stamps, joins and records are the product's; only Snakemake and the
numerics are stood in for. As Snakemake does, a call removes the outputs of a job before it starts, marks them
meanwhile, and touches them at its end.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import PARTICLES, JobType, file_of
from cryosnake.project import snakemake_internals
from cryosnake.project.cleaning.delete import current_pipeline, half_deleted
from cryosnake.project.config.config import parse_config
from cryosnake.project.locks.snakemake_lock import claim_run, release_claim
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob
from cryosnake.project.planning.rule_values import arguments, asked, batch_inputs, batch_stars, job_inputs
from cryosnake.project.records.batches import batch_star
from cryosnake.project.records.freshness import is_stale
from cryosnake.project.run.begin import finish_interrupted_deletions, repair_after_kills, restore_copied
from cryosnake.project.run.commit import commit
from cryosnake.project.run.run_status import fail_dead_jobs
from cryosnake.project.run.session import fail, succeed
from cryosnake.running.run import run_job

ROWS = 3  # particles of a micrograph
TORN = "torn"  # file with the name of a movie that fails
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.utime", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Unit:
    """What one rule makes: the job's program for a batch (`key`), the join of its batches, or all of a job."""

    job: PlannedJob
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    words: tuple[str, ...]
    ancient: bool = False


def plan_of(raw: Mapping[str, Any], forced: Collection[str] = ()) -> Plan:
    """Return the plan of a call, without the jobs of an interrupted deletion."""
    return make_plan(parse_config(raw), forced=forced, leave_out=_half_deleted())


def _half_deleted() -> set[str]:
    if not os.path.exists("default_pipeline.star"):
        return set()
    return {path.rstrip("/") for paths in half_deleted(current_pipeline()).values() for path in paths}


def snakemake(raw: Mapping[str, Any], forced: Collection[str] = ()) -> list[str]:
    """Make what the config asks for; return the command lines of the programs that ran.

    Raises
    ------
    CryosnakeError
        when a program failed, or the project can't be planned
    """
    plan, since = plan_of(raw, forced), time.time()
    said = io.StringIO()
    with (contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), _claimed(),
          patch.dict(os.environ, CRYOSNAKE_WORKFLOW="1")):
        if _half_deleted():
            finish_interrupted_deletions()
        restore_copied(plan)
        repair_after_kills(plan)
        commit(plan)
        fail_dead_jobs()
        ran = []
        for unit in _to_run(plan):
            ran.append(" ".join(unit.words))
            if _run(unit):
                fail(plan, since)
                raise CryosnakeError(said.getvalue()[-2000:])
        succeed(plan)
    return ran


def killed_at(moment: int, raw: Mapping[str, Any], forced: Collection[str] = (), *, full: bool = False) -> bool:
    """Make what the config asks for in a child of this process, which is killed before its change of a file `moment`.

    If `full`, it is not killed, but from then on there is no space left for new files. Return whether it was stopped,
    because it made so many changes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child needs none of BLAS
        child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    code = 0
    try:
        sys.addaudithook(_stop_at(moment, full))
        snakemake(raw, forced)
    except BaseException:
        code = 1
    finally:
        os._exit(code)


def _stop_at(moment: int, full: bool) -> Callable[[str, tuple[Any, ...]], None]:
    counted = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal counted
        writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if (event in CHANGES or writing) and not str(arguments[0]).startswith(("/dev/null", "/proc")):
            counted += "__pycache__" not in str(arguments[0])
            if counted == moment and not full:
                os.kill(os.getpid(), signal.SIGKILL)
            if counted >= moment and (writing or event in ("os.mkdir", "os.link", "os.symlink")):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    return count


@contextlib.contextmanager
def _claimed() -> Iterator[None]:
    claim_run()
    try:
        yield
    finally:
        release_claim("")


def _units(plan: Plan) -> list[Unit]:
    found = []
    for job in plan.jobs.values():
        if job.disposition in (Disposition.INPUTS_CLEARED, Disposition.OTHER_LANE) or not job.numbered:
            continue
        words = partial(_words, plan, job)
        if job.config.type.per_micrograph:
            found += [Unit(job, tuple(batch_inputs(plan, job.path, key)), (batch_star(job.path, key),), words(key))
                      for key in (*job.batches.values(), *job.again.values())]
            found.append(Unit(job, tuple(batch_stars(plan, job.path)), tuple(job.files()), (*words(), "--join")))
        else:
            found.append(Unit(job, tuple(job_inputs(plan, job.path)), tuple(job.files()), words(),
                              ancient=job.disposition is Disposition.BELOW_GROWTH))
    return found


def _words(plan: Plan, job: PlannedJob, key: str = "") -> tuple[str, ...]:
    return tuple(shlex.split(arguments(plan, job.path, key)))


def _to_run(plan: Plan) -> list[Unit]:
    """Return what Snakemake would run, in the order of the jobs; regenerated batches before what needs them."""
    units, marked = _units(plan), snakemake_internals.marks()
    maker = {file: number for number, unit in enumerate(units) for file in unit.outputs}
    targets = {file for job in plan.jobs.values() for file in asked(plan, job)}
    known = _in_order(units, maker, {maker[file] for file in targets if file in maker}, maker.values())
    due = {number for number in known for file in units[number].outputs
           if (file in targets and not os.path.exists(file)) or file in marked or _is_outdated(file, units[number])}
    while True:
        more = {number for number in known if not units[number].ancient
                and any(maker.get(file) in due for file in units[number].inputs)}
        more |= {maker[file] for number in due for file in units[number].inputs
                 if file in maker and not os.path.exists(file)}
        if more <= due:
            return [units[number] for number in _in_order(units, maker, due, due)]
        due |= more


def _is_outdated(file: str, unit: Unit) -> bool:
    return not unit.ancient and os.path.exists(file) and is_stale(file, unit.inputs)


def _in_order(units: list[Unit], maker: Mapping[str, int], wanted: Iterable[int], among: Collection[int]) -> list[int]:
    """Return units, and those of `among` that make their inputs, each after those that it depends on."""
    done: list[int] = []

    def visit(number: int) -> None:
        if number not in done:
            for file in units[number].inputs:
                if maker.get(file) in among:
                    visit(maker[file])
            done.append(number)

    for number in sorted(wanted):
        visit(number)
    return done


def _run(unit: Unit) -> int:
    """Run a program as Snakemake does; return its exit code."""
    for file in unit.outputs:
        snakemake_internals.mark(file)
        Path(file).unlink(missing_ok=True)
    name = f"stub_{unit.job.config.type.name}"
    sys.modules[name] = _program(unit.job.config.type)  # type: ignore[assignment]
    code = run_job(replace(unit.job.config.type, program=name), unit.words)
    if code == 0:
        now = time.time_ns()
        for file in unit.outputs:
            os.utime(file, ns=(now, now))
        marked = snakemake_internals.marks()
        for file in unit.outputs:
            marked[file].unlink()
    return code


def digest(*texts: object) -> str:
    """Return a short digest of some texts."""
    return hashlib.sha256("\0".join(map(str, texts)).encode()).hexdigest()[:12]


def _program(job_type: JobType) -> SimpleNamespace:
    if job_type.name == "import":
        from cryosnake.programs.micrographs import import_data

        return import_data  # type: ignore[return-value]
    if job_type.by_hand:
        from cryosnake.programs.micrographs import manualpick

        return manualpick  # type: ignore[return-value]
    if job_type.per_micrograph:
        return SimpleNamespace(prepare=lambda options, optics, inputs: options, process=partial(_process, job_type),
                               finalise=partial(_finalise, job_type))
    return SimpleNamespace(run=partial(_work, job_type))


def _process(job_type: JobType, row: Mapping[str, Any], optics: object, options: object, root: Path) -> Any:
    source = Path(row.get("rlnMicrographName") or row["rlnMicrographMovieName"])
    if not source.exists():
        raise CryosnakeError(f"{source} does not exist")
    if job_type.name == "motioncorr" and os.path.exists(TORN) and Path(TORN).read_text() == str(source):
        raise CryosnakeError(f"{source} is torn")
    made = digest(job_type.name, source.read_bytes(), row.get("csnDigest"))
    for product in job_type.products:
        write_text(Path(product.replace("{root}", str(root))), made)
    if job_type.name == "motioncorr":
        return {"rlnMicrographName": f"{root}.mrc", "rlnOpticsGroup": 1, "csnDigest": made}
    if job_type.name == "autopick":
        return {"rlnMicrographName": str(source), "rlnMicrographCoordinates": f"{root}_autopick.star"}
    return [{"rlnImageName": f"{number:06d}@{root}.mrcs", "rlnMicrographName": str(source), "rlnOpticsGroup": 1,
             "csnDigest": made} for number in range(1, ROWS + 1)]


def _finalise(job_type: JobType, options: object, inputs: object, out: Path, star: Path) -> None:
    if job_type.name == "autopick":
        write_text(out / "coords_suffix_autopick.star", "corrected_micrographs.star\n")


def _work(job_type: JobType, options: Any, inputs: Mapping[str, Path], out: Path, progress: Any) -> None:
    """Write the outputs of a job: particles are those of its input, all else says what it was made from."""
    table = inputs["particles"].read_text()
    if job_type.slot("particles").images:
        missing = [name for name in set(re.findall(r"@(\S+)", table)) if not os.path.exists(name)]
        if missing:
            raise CryosnakeError(f"{missing[0]} does not exist")
    values = vars(options)
    made = digest(job_type.name, sorted((slot, path.read_bytes()) for slot, path in inputs.items()))
    files = {file_of(output, values): output.node for output in job_type.all_outputs(values)
             if not output.when or values.get(output.when) or output.when in inputs}
    if job_type.name != "select":
        start = int((getattr(options, "continue_from", None) and options.continue_from[-18:-15]) or 0)
        for number in range(start + 1, 3):
            for kind in ("data", "model", "optimiser"):
                file = f"run_it{number:03d}_{kind}.star"
                if file not in files or kind == "optimiser":
                    write_text(out / file, f"{made} {number} {kind}")
                elif kind == "data":
                    write_text(out / file, table)
                else:
                    write_text(out / file, _model(made, options.classes))
            progress.iteration_written(number)
    for file, node in files.items():
        if not (out / file).exists():
            write_text(out / file, table if node is PARTICLES else f"{made} {file}")


def _model(made: str, classes: int) -> str:
    rows = "".join(f"{number:06d}@{made}.mrcs {1 / classes}\n" for number in range(1, classes + 1))
    return f"data_model_classes\n\nloop_\n_rlnReferenceImage #1\n_rlnClassDistribution #2\n{rows}\n"
