"""`cryosnake show`, `chain`, `outputs`, `command`, `diff`: one job, what it makes, the jobs around it, or another."""

from __future__ import annotations

import time
from typing import Any

from cryosnake.cli.commands import JOB_HELP, Arguments, Commands, add_command, add_json, print_json
from cryosnake.cli.status import movies_not_imported
from cryosnake.human import human_age, human_size, human_time
from cryosnake.pipeline.find_process import find_job, job_path_of
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.actions import notes
from cryosnake.project.actions.as_data import details_data, outputs_data
from cryosnake.project.actions.difference import Difference, job_difference
from cryosnake.project.actions.history import ancestors, between, descendants, in_order
from cryosnake.project.actions.job_details import FileOfJob, JobDetails, job_details, log_tail
from cryosnake.project.records.movies import not_imported
from cryosnake.project.records.run_times import total


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    show = add_command(commands, "show", _show, job=True,
                       help="describe a job: parameters, inputs, outputs, time, size, log")
    show.add_argument("--all", action="store_true", help="also parameters with their default value")
    show.add_argument("--lines", type=int, default=10, help="lines of the log (default 10; 0: none)")
    add_json(show)
    chain = add_command(commands, "chain", _chain, job=True,
                        help="print the jobs before or after a job, or between two, a path per line")
    which = chain.add_mutually_exclusive_group(required=True)
    which.add_argument("--ancestors", action="store_true", help="jobs from which it was made")
    which.add_argument("--descendants", action="store_true", help="jobs made from it")
    which.add_argument("--to", default="", metavar="JOB2", help="jobs between the two, both included")
    chain.add_argument("--steps", type=int, default=None, metavar="N",
                       help="at most N steps away (1: its neighbours)")
    chain.add_argument("--self", action="store_true", dest="itself", help="also the job itself")
    add_json(chain)
    outputs = add_command(commands, "outputs", _outputs,
                          help="list the files that a job, or the whole project, makes for other jobs")
    outputs.add_argument("job", nargs="?", default="", metavar="JOB", help=f"{JOB_HELP}; all jobs without one")
    add_json(outputs)
    command = add_command(commands, "command", _command, job=True, help="print the command that made a job")
    command.add_argument("--all", action="store_true", help="the commands of all its runs")
    diff = add_command(commands, "diff", _diff, help="compare two jobs: parameters, inputs, key results")
    diff.add_argument("first", metavar="JOB1", help="number, path or alias")
    diff.add_argument("second", metavar="JOB2")


def _chain(arguments: Arguments) -> None:
    pipeline = read_pipeline_unlocked()
    name = find_job(arguments.job, pipeline).name
    if arguments.to:
        found = between(pipeline, name, find_job(arguments.to, pipeline).name)
    else:
        found = (ancestors if arguments.ancestors else descendants)(pipeline, name, arguments.steps)
    if arguments.itself:
        found = in_order(pipeline, {*found, name})
    names = [job.rstrip("/") for job in found]
    if arguments.json:
        print_json(lambda: {"jobs": names})
        return
    for job in names:
        print(job)


def _outputs(arguments: Arguments) -> None:
    pipeline = read_pipeline_unlocked()
    jobs = [find_job(arguments.job, pipeline).name] if arguments.job else in_order(pipeline, set(pipeline.processes))
    if arguments.json:
        print_json(lambda: {"outputs": outputs_data(pipeline, jobs)})
        return
    for file in outputs_data(pipeline, jobs):
        rows = f"  {file['rows']:,} rows" if file["rows"] else ""
        print(f"{file['file']}  {file['type']}  {human_size(file['size']) if file['exists'] else 'missing'}{rows}")


def _command(arguments: Arguments) -> None:
    found = notes.commands(job_path_of(arguments.job))
    print("\n".join(found if arguments.all else found[-1:]))


def _show(arguments: Arguments) -> None:
    pipeline = read_pipeline_unlocked()
    details = job_details(pipeline, find_job(arguments.job, pipeline))
    if arguments.json:
        print_json(lambda: _show_data(details, arguments.lines))
        return
    status = details.status
    print(f"{status.path}  {status.alias}  {details.title}")
    for name, text in _facts(details):
        print(f"  {name:<10} {text}")
    for line in movies_not_imported(status.path):
        print(f"  {line}")
    _section("results", [f"{result.name}: {result}" for result in details.results])
    stated = {name: value for name, (value, stated) in details.parameters.items() if stated or arguments.all}
    _section("parameters" if arguments.all else "parameters that were set (--all: also the others)",
             [f"{name}: {value}" for name, value in stated.items()])
    _section("inputs", [_file(item, "from") for item in details.inputs])
    _section("outputs", [_file(item, "used by") for item in details.outputs])
    _section(notes.FILE, details.note.strip().splitlines()[-5:])
    for title, lines in (("run.err", log_tail(status.path, arguments.lines, error=True)),
                         ("run.out", log_tail(status.path, arguments.lines))):
        _section(f"end of {title}", lines)


def _show_data(details: JobDetails, lines: int) -> dict[str, Any]:
    path = details.status.path
    left_out = [{"movie": name, "reason": reason} for name, reason in not_imported(path, details.record)]
    return details_data(details) | {"not_imported": left_out, "log": log_tail(path, lines),
                                    "errors": log_tail(path, lines, error=True)}


def _facts(details: JobDetails) -> list[tuple[str, str]]:
    status = details.status
    facts = [("state", ", ".join(filter(None, [status.full_state, "final" * details.final, status.outdated])))]
    if status.done or status.failed or status.rejected:
        facts.append(("micrographs", f"{status.done} done, {status.failed} failed, {status.rejected} rejected, in "
                      f"{status.batches} batches"))
    if details.record:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(details.record.created))
        facts.append(("made", f"{made} by cryosnake {details.record.version}; changed {human_age(status.changed)}"))
    elif status.changed:
        facts.append(("changed", human_age(status.changed)))
    if details.runs:
        seconds, cpu = total(details.runs)
        memory = max(run.memory_mb for run in details.runs)
        runs = f"{len(details.runs)} run{'s' if len(details.runs) > 1 else ''}"
        facts.append(("time", f"{human_time(seconds)} in {runs}, {human_time(cpu)} of CPU, at most {memory:.0f} MB"))
    facts.append(("size", f"{human_size(status.size)} in {details.files} files"))
    return [*facts, ("used by", ", ".join(details.users) or "no job")]


def _section(title: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{title}")
        for line in lines:
            print(f"  {line}")


def _file(item: FileOfJob, words: str) -> str:
    parts = [item.path, f"{item.count:,} rows" if item.count else item.kind]
    if not item.exists:
        parts.append("missing")
    return "  ".join(parts) + (f"  {words} {', '.join(item.jobs)}" if item.jobs else "")


def _diff(arguments: Arguments) -> None:
    pipeline = read_pipeline_unlocked()
    first, second = (find_job(text, pipeline) for text in (arguments.first, arguments.second))
    found = job_difference(pipeline, first, second)
    if not found:
        print("no difference in parameters, inputs and key results")
        return
    names = [f"{job.name.rstrip('/')} {job.short_alias}".strip() for job in (first, second)]
    rows = [Difference("", "", *names), *found]
    width = [max(len(row[i]) for row in ((r.kind, r.name, r.first) for r in rows)) for i in range(3)]
    for row in rows:
        print(f"{row.kind:<{width[0]}}  {row.name:<{width[1]}}  {row.first:<{width[2]}}  {row.second}".rstrip())
