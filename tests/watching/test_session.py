"""The watcher's decisions, with a stand-in for Snakemake that makes the planned files empty, and at once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from small_session import CONFIG, MANIFEST, arrive, configure, options, status, with_classes

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Status
from cryosnake.processes import ProcessId, process
from cryosnake.project.config.config import parse_config
from cryosnake.project.locks.work_locks import lock_file
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.records.batches import done_file, read_manifest
from cryosnake.project.run.commit import commit
from cryosnake.project.snakemake_internals import MARKS
from cryosnake.watching import announce, preconditions, rounds, session, status_file
from cryosnake.watching.calls import Call
from cryosnake.watching.lanes import Task
from cryosnake.watching.owner import CLAIM, only_watcher
from cryosnake.watching.requests import ask_for_retry
from cryosnake.watching.session import run_session
from cryosnake.watching.session_state import Session, StopRequest
from cryosnake.watching.snakemake_call import command, read_arguments


def test_a_partial_batch_waits_and_is_sealed_at_the_end(project, snakemake) -> None:
    arrive("a", "b", "c", "d")
    assert run_session(options()) == 0
    assert [call["full_batches"] for call in snakemake.calls] == [True, False]
    assert [len(names) for names in read_manifest(MANIFEST).values()] == [3, 1]
    assert status()["state"] == "stopped"
    assert "nothing happened" in status()["reason"]


def test_a_partial_batch_is_sealed_when_its_oldest_movie_has_waited(project, snakemake) -> None:
    arrive("a")
    began = time.monotonic()
    snakemake.between = lambda number: Path("STOP_WATCH").touch()
    assert run_session(options(seal_after=0.02, idle_stop=0)) == 0
    assert time.monotonic() - began >= 1.0
    assert [call["full_batches"] for call in snakemake.calls] == [False]


def test_nothing_is_called_when_there_is_nothing_to_do(project, snakemake) -> None:
    arrive("a", "b", "c")
    run_session(options())
    run_session(options())
    assert len(snakemake.calls) == 1


def test_counts_go_on_during_a_round(project, snakemake, monkeypatch) -> None:
    """The status files follow the batches' own records, also in the first round, which makes the jobs."""
    arrive("a", "b", "c")
    done, seen = Path(done_file("MotionCorr/job002", 1)), []

    class Round:
        def poll(self) -> int | None:
            with done.open("a") as file:
                file.write(f"Movies/{len(seen)}.mrcs\t1:2\tok\t\n")
            time.sleep(0.03)
            rows = {job["name"]: job for job in status()["jobs"]}
            seen.append(rows["motion"]["done"])
            return 1 if len(seen) > 30 else None

    def begin(words: list[str], task: Task) -> Call:
        commit(make_plan(parse_config(CONFIG)))
        return Call(task, process(0), Round())  # type: ignore[arg-type]

    monkeypatch.setattr(rounds, "begin", begin)
    run_session(options(rounds=1))
    assert seen[0] <= 1 and seen[30] > 10 and seen == sorted(seen)


def test_marks_of_what_outlived_a_killed_snakemake_are_taken_away(project, snakemake) -> None:
    arrive("a", "b", "c")
    run_session(options())
    job = make_plan(parse_config(CONFIG)).jobs["motion"]
    for output in job.outputs():
        MARKS.mkdir(parents=True, exist_ok=True)
        Path(MARKS, urlsafe_b64encode(job.file(output).encode()).decode()).write_text("{}")
    run_session(options())
    assert any(MARKS.iterdir()), "its program has not said that it is finished"
    set_exit(job.path, Status.SUCCEEDED)
    run_session(options())
    assert not any(MARKS.iterdir())
    assert len(snakemake.calls) == 1


def test_what_was_killed_between_its_last_result_and_its_end_is_made_again(project, snakemake) -> None:
    arrive("a", "b", "c")
    run_session(options())
    job = make_plan(parse_config(CONFIG)).jobs["motion"]
    lock_file(Path(job.path), "").touch()
    snakemake.between = lambda number: set_exit(job.path, Status.SUCCEEDED)
    run_session(options())
    assert len(snakemake.calls) == 2


def test_rounds_are_counted_and_spaced(project, snakemake) -> None:
    arrive("a", "b", "c")
    times: list[float] = []

    def between(number: int) -> None:
        times.append(time.monotonic())
        arrive(*(f"{letter}{number}" for letter in "abc"))

    snakemake.between = between
    assert run_session(options(rounds=2, minutes=0.01)) == 0
    assert len(snakemake.calls) == 3  # and the last one, for what came meanwhile
    assert times[1] - times[0] >= 0.5


def test_a_failed_round_is_not_repeated_until_something_is_new(project, snakemake) -> None:
    arrive("a", "b", "c")
    snakemake.code = 1
    assert run_session(options()) == 1
    assert len(snakemake.calls) == 2  # one, and the last one
    assert status()["last_code"] == 1


def test_classification_starts_at_its_threshold_and_again_when_particles_doubled(project, snakemake) -> None:
    jobs = {**CONFIG["jobs"],
            "picks": {"type": "autopick", "micrographs": "motion", "method": "log", "diameter": [10, 10]},
            "cut": {"type": "extract", "micrographs": "motion", "coordinates": "picks", "box_size": 16},
            "classes": {"type": "class2d", "particles": "cut", "particle_diameter": 9, "at_least": 4}}
    configure({**CONFIG, "jobs": jobs})
    made: list[str] = []
    contents: dict[str, bytes] = {}

    def between(number: int) -> None:
        data = sorted(map(str, Path("Class2D").glob("job*/run_it*_data.star")))
        made.append(data[-1] if data else "")
        contents.update({path: Path(path).read_bytes() for path in data if path not in contents})
        if snakemake.calls[-1].get("lane") == "micrographs" and len(list(Path("Movies").iterdir())) < 15:
            arrive(*(f"{letter}{number}" for letter in "abc"))

    arrive("a", "b", "c")
    snakemake.between = between
    assert run_session(options()) == 0
    grown = [made[number] != made[number - 1] for number in range(1, len(made))]
    # 3 particles: no class; 6: starts; 9: waits; 12: doubled, a new job; then waits, and at the end one with all
    assert made[0] == ""
    assert all(Path(path).read_bytes() == before for path, before in contents.items()), "an old result was replaced"
    numbers = sorted({int(path[11:14]) for path in made if path})
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))  # none was taken while it waited
    assert os.readlink("Class2D/classes") == f"../Class2D/job{numbers[-1]:03d}/"
    assert grown.count(True) >= 2
    assert not all(grown)
    assert snakemake.calls[-1]["grow"] == 1.0
    lanes = [call.get("lane") for call in snakemake.calls]
    assert lanes[:-1].count("particles") >= 2
    assert lanes[-1] is None
    assert all("classes" not in call["only"] for call in snakemake.calls if call.get("lane") == "micrographs")


def test_it_pauses_while_the_disk_is_full(project, snakemake, monkeypatch) -> None:
    free = iter([0.1e9] * 3)
    arrive("a", "b", "c")
    pauses: list[str] = []
    monkeypatch.setattr(announce, "write_status", lambda status: pauses.append(f"{status['state']} {status['reason']}"))
    monkeypatch.setattr(preconditions.shutil, "disk_usage",
                        lambda path: shutil._ntuple_diskusage(10e9, 0, int(next(free, 5e9))))
    assert run_session(options(keep_free=1.0)) == 0
    assert any(line.startswith("paused the project's disk has 0.10 GB left") for line in pauses)
    assert len(snakemake.calls) == 1


def test_a_full_disk_keeps_the_old_status_and_the_session_alive(project, monkeypatch) -> None:
    status_file.JSON.write_text("old")

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr("builtins.print", full)
    announce.write_state(Session(options(), "somebody", 0.0, StopRequest()), "waiting", "")
    announce.print_line("a line")
    assert status_file.JSON.read_text() == "old"
    assert [path.name for path in Path().glob(".*.tmp")] == []


def test_it_pauses_while_the_movies_disk_is_gone(project, snakemake, monkeypatch) -> None:
    arrive("a", "b", "c")
    run_session(options())
    manifest = read_manifest(MANIFEST)
    Path("Movies").rename("elsewhere")
    Path("Movies").mkdir()
    assert "is its disk unmounted" in preconditions.movies_trouble("Movies/*.mrcs", MANIFEST)
    Path("Movies").rmdir()
    assert "can't be read" in preconditions.movies_trouble("Movies/*.mrcs", MANIFEST)
    looks = []

    def back(status: dict[str, Any]) -> None:
        looks.append(status["state"])
        if looks.count("paused") == 2 and not Path("Movies").exists():
            Path("elsewhere").rename("Movies")
            arrive("d", "e", "f")

    monkeypatch.setattr(announce, "write_status", back)
    assert run_session(options()) == 0
    assert read_manifest(MANIFEST) == {**manifest, 2: [f"Movies/{name}.mrcs" for name in "def"]}
    assert len(snakemake.calls) == 2


def test_one_movie_that_was_archived_is_no_trouble(project, snakemake) -> None:
    arrive("a", "b", "c")
    run_session(options())
    Path("Movies/a.mrcs").unlink()
    assert preconditions.movies_trouble("Movies/*.mrcs", MANIFEST) == ""


def test_what_failed_because_its_movie_was_gone_is_planned_again_when_it_is_back(project, snakemake) -> None:
    arrive("a", "b", "c")
    run_session(options())
    done = Path(done_file("MotionCorr/job002", 1))
    done.write_text(done.read_text() + "Movies/b.mrcs\t\tfailed\tis not there\n")
    os.utime(done, ns=(1, 1))
    assert make_plan(parse_config(CONFIG)).jobs["motion"].batches == {1: "0001.r2"}
    Path("Movies/b.mrcs").unlink()
    assert make_plan(parse_config(CONFIG)).jobs["motion"].batches == {1: "0001"}


def test_a_run_of_somebody_else_is_no_idleness(project, snakemake, monkeypatch) -> None:
    """It may take hours."""
    arrive("a")
    looks = iter(range(100))
    other = ProcessId(host="here", pid=4711, start="1")
    monkeypatch.setattr(session, "running_claim", lambda lanes: other if next(looks) < 60 else None)
    assert run_session(options(every=0.02)) == 0  # idle_stop is 0.3 s, the other run takes 1.2 s
    assert len(snakemake.calls) == 1


def test_a_mistake_in_the_config_is_waited_for(project, snakemake, capsys, monkeypatch) -> None:
    arrive("a", "b", "c")
    snakemake.between = lambda number: Path("config.yaml").write_text("jobs: {movies: {type: imort}}")
    states: list[str] = []

    def mend(status: dict[str, Any]) -> None:
        states.append(status["reason"])
        if "did you mean 'import'?" in status["reason"]:
            configure(CONFIG)

    monkeypatch.setattr(announce, "write_status", mend)
    assert run_session(options()) == 0
    assert any("continues when this is fixed" in reason for reason in states)


def test_bad_movies_are_listed_and_retried_on_request(project, snakemake) -> None:
    arrive("a", "b", "bad")
    run_session(options())
    assert [item["micrograph"] for item in status()["bad"] if item["job"] == "MotionCorr/job002"] == ["Movies/bad.mrcs"]
    assert "Movies/bad.mrcs: is corrupt" in Path("watch_status.txt").read_text()
    ask_for_retry("MotionCorr/motion", rejected=False)
    run_session(options())
    assert len(snakemake.calls) == 2


def test_a_second_watcher_is_refused_with_the_name_of_the_first(project, capsys) -> None:
    with only_watcher() as owner:
        assert main(["watch"]) == 1
        message = capsys.readouterr().err
        assert f"process {owner['pid']} of {owner['user']} on {owner['host']}" in message
    with only_watcher():
        pass


def test_a_watcher_on_another_computer_counts(project, capsys) -> None:
    CLAIM.parent.mkdir()
    CLAIM.write_text(json.dumps({"host": "scope1", "pid": 7, "start": "1", "user": "anna"}))
    assert main(["watch"]) == 1
    assert "process 7 of anna on scope1" in capsys.readouterr().err


def test_a_stop_file_of_an_earlier_session_is_not_overlooked(project) -> None:
    Path("STOP_WATCH").touch()
    with pytest.raises(CryosnakeError, match="STOP_WATCH exists"):
        run_session(options())


def test_snakemakes_arguments(project) -> None:
    words = ["--cores", "8", "--config", "batch_size=5", "title=x", "--profile", "p", "--configfile", "other.yaml"]
    found = read_arguments(words)
    assert found.config == {"batch_size": 5, "title": "x"}
    assert found.others == ("--cores", "8", "--profile", "p")
    line = command(found, {"full_batches": True})
    assert line[line.index("--config") + 1 :] == ["batch_size=5", "title=x", "full_batches=True"]
    assert line[line.index("--configfile") + 1] == "other.yaml"
    assert "all" not in line
    words = command(read_arguments([]), {"grow": 2})
    assert words[-2:] == ["--config", "grow=2"] and words[words.index("--cores") + 1] == "all"
    for word in ("-n", "--directory=x", "--unlock"):
        with pytest.raises(CryosnakeError, match="not an option for a session"):
            read_arguments([word])


def test_what_waits_for_a_person_stands_last_in_the_status(project, snakemake) -> None:
    config = with_classes()
    config["jobs"]["good"] = {"type": "select", "particles": "classes", "model": "classes", "classes": "choose"}
    configure(config)
    arrive("a", "b", "c")
    assert run_session(options()) == 0
    [line] = status()["for_you"]
    assert line.startswith("waits for you: good: choose from Class2D/job005 (look at Class2D/job005/")
    assert Path("watch_status.txt").read_text().splitlines()[-1] == line
