"""Run one job from its script.

The steps around the program are the same for all types:

    arguments -> directory and its lock -> note.txt, run.out, run.err -> running -> program -> exit file, status
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import NoReturn, cast

from cryosnake.errors import Aborted, CryosnakeError
from cryosnake.human import escape_what_terminals_lack
from cryosnake.installation import kept_kernels
from cryosnake.jobs.forms import PerMicrograph, WholeJob
from cryosnake.jobs.model import JobType
from cryosnake.jobs.registry import job_types
from cryosnake.parallel.disc_sums import remove_leftovers
from cryosnake.parallel.gpus import idle_gpus
from cryosnake.parallel.ranks import Ranks
from cryosnake.parallel.threads import thread_limit
from cryosnake.project.actions.made_by_hand import picks_of
from cryosnake.project.planning.planned import WAITING, keeps_number
from cryosnake.project.records.freshness import is_stale
from cryosnake.project.records.kept_results import keep_results, made_by, restore_results
from cryosnake.project.records.taken_inputs import taken_inputs
from cryosnake.running.arguments import PICKS, Arguments, parse_arguments, with_decision
from cryosnake.running.frame import finish, job_frame
from cryosnake.running.interrupts import interruptible
from cryosnake.running.iterations import finish_without_snakemake, iteration_keeper
from cryosnake.running.nodes import check_outputs, declare_outputs, made_outputs
from cryosnake.running.progress import JobProgress
from cryosnake.running.ranks import check_ranks, choose_gpus, run_as_follower, sharing_errors, these_ranks, together
from cryosnake.running.regenerated import AGAIN, finish_regenerated_batch, finish_regenerated_job
from cryosnake.running.resume import resume
from cryosnake.running.temporaries import remove_pictures_in_part, remove_temporaries


def run_script(name: str) -> NoReturn:
    """Run a job of this type from the command line, and exit."""
    sys.exit(run_job(job_types()[name]))


def run_job(job_type: JobType, words: Sequence[str] | None = None) -> int:
    """Run a job, or one batch of a per-micrograph job, from command-line arguments; return the exit code.

    0 success, 1 failure (a message on stderr names file, job and remedy), 2 aborted on request.
    """
    escape_what_terminals_lack()
    arguments = parse_arguments(job_type, sys.argv[1:] if words is None else words)
    os.chdir(arguments.project or ".")
    if arguments.draw:
        from cryosnake.report.job_pictures import draw_pictures

        remove_pictures_in_part(Path(arguments.out), job_type.panels)
        draw_pictures(job_type.panels, Path(arguments.out), {**vars(arguments.options), **arguments.inputs})
        return 0
    try:
        if arguments.out.startswith(WAITING):
            raise CryosnakeError("it waits for more input, as snakemake says at its start, and has no number yet")
        ranks = these_ranks()
        if ranks.rank > 0:
            return run_as_follower(job_type, arguments, ranks)
        # several ranks notice a request to abort in their own way (`Ranks.watch`)
        with (together(ranks), job_frame(job_type, arguments) as progress,
              interruptible(Path(arguments.out), progress) if ranks.size == 1 else nullcontext(),
              sharing_errors(ranks)):
            ranks.watch = progress.check_abort
            check_ranks(job_type, arguments, ranks)
            _work(job_type, arguments, progress, ranks)
    except Aborted:
        print(f"{job_type.title} {arguments.out}: aborted on request", file=sys.stderr)
        return 2
    except (CryosnakeError, OSError) as error:  # OSError: a full disk takes not even the record of the failure
        print(f"{job_type.title} {arguments.out}: {error}", file=sys.stderr)
        return 1
    return 0


def _work(job_type: JobType, arguments: Arguments, progress: JobProgress, ranks: Ranks) -> None:
    with kept_kernels():
        program = import_module(job_type.program)
        with thread_limit(arguments.threads):
            if job_type.per_micrograph:
                _work_batch(job_type, cast(PerMicrograph, program), arguments, progress)
            else:
                _work_whole(job_type, cast(WholeJob, program), arguments, progress, ranks)


def _work_batch(job_type: JobType, program: PerMicrograph, arguments: Arguments, progress: JobProgress) -> None:
    from cryosnake.running.batch import run_batch
    from cryosnake.running.join import join_batches

    out = Path(arguments.out)
    if arguments.join:
        remove_temporaries(out)
        join_batches(job_type, program, arguments)
        return
    _warn_of_idle_gpus(job_type, arguments)
    run_batch(job_type, program, arguments, progress)
    if AGAIN in arguments.batch:
        finish_regenerated_batch(out)


def _warn_of_idle_gpus(job_type: JobType, arguments: Arguments) -> None:
    """Print a warning where reserved GPUs are not used; what an external program uses is not known."""
    text = "" if job_type.declared else idle_gpus(arguments.gpus, getattr(arguments.options, "device", ""))
    if text:
        print(text)


def _work_whole(job_type: JobType, program: WholeJob, arguments: Arguments, progress: JobProgress,
                ranks: Ranks) -> None:
    arguments = with_decision(arguments) if getattr(arguments.options, "curate", False) else arguments
    out = Path(arguments.out)
    made = made_outputs(job_type, arguments)
    outputs = [path for path, _ in made]
    in_place = keeps_number(output for _, output in made)
    taken = arguments.inputs if in_place else taken_inputs(out, arguments.inputs)
    inputs = taken.values()
    maker = made_by(vars(arguments.options), arguments.inputs)
    start = getattr(arguments.options, "continue_from", None) or ""
    complete = restore_results(out, maker, inputs) or progress.found_finished
    complete = complete and not job_type.by_hand  # other picks are no other options
    options = resume(arguments.options, taken, out)
    remove_leftovers(out)
    remove_temporaries(out)
    done = complete and not any(is_stale(path, inputs) for path in outputs)
    ranks.broadcast(None if done else (vars(options), taken))
    if not done:
        progress.iteration_written = iteration_keeper(job_type, arguments, start, maker)
        progress.may_step_back = options is not arguments.options
        choose_gpus(options, ranks)
        _warn_of_idle_gpus(job_type, arguments)
        with picks_of(out, arguments.inputs[PICKS]) if job_type.by_hand else nullcontext():
            program.run(options, taken, out, progress)
    ranks.meet()
    check_outputs(job_type, arguments)
    keep_results(out, map(Path, outputs), maker, complete=True)
    declare_outputs(job_type, arguments)
    finish_regenerated_job(out)
    finish(out)
    finish_without_snakemake(arguments.out)
