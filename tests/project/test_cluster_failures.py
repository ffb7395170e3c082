"""Jobs that a scheduler ended: why, where it is said, and what becomes of the job."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.planning.planned import Plan
from cryosnake.project.run import cluster_failures
from cryosnake.project.run.pending_jobs import hopeless_jobs
from cryosnake.project.run.scheduler_reasons import asked_for, reason_of

ASKED = "memory 4000M, time 02:00:00"


def said(state: str) -> str:
    return f"SLURM-job '12' failed, SLURM status is: '{state}'. Detailed failure reason unavailable"


@pytest.mark.parametrize(("state", "log", "cause"), [
    ("FAILED", "slurmstepd-vm: error: Exceeded job memory limit", "out of memory"),
    ("OUT_OF_MEMORY", "", "out of memory"),
    ("FAILED", "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0", "out of memory"),
    ("TIMEOUT", "", "over its time limit"),
    ("CANCELLED", "error: *** JOB 7 ON n1 CANCELLED AT 2026-11-26T14:46:12 DUE TO TIME LIMIT ***", "over its time"),
    ("CANCELLED", "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-26T14:46:12 ***", "cancelled (scancel)"),
    ("NODE_FAIL", "", "its node failed"),
    ("PREEMPTED", "", "preempted"),
])
def test_the_reason_is_found(state: str, log: str, cause: str) -> None:
    reason = reason_of("motion", said(state), log, ASKED)
    assert reason is not None and cause in reason.cause
    assert reason.retry == (not cause.startswith("cancelled"))


def test_what_was_too_little_is_named_with_the_option_that_asks_for_more() -> None:
    memory, runtime = (reason_of("motion", said(state), "", ASKED) for state in ("OUT_OF_MEMORY", "TIMEOUT"))
    assert memory and ASKED in memory.cause and "--set-resources motion:mem_mb=" in memory.remedy
    assert runtime and "--set-resources motion:runtime=" in runtime.remedy


def test_a_refusal_of_sbatch_is_quoted() -> None:
    text = ("SLURM sbatch failed. The error message was 'sbatch: error: Memory specification can not be satisfied\n"
            "sbatch: error: Batch job submission failed'.\n    sbatch call:\n        sbatch …")
    reason = reason_of("refine", text, "", ASKED)
    assert reason and "refused it" in reason.cause and "Memory specification can not be satisfied" in reason.cause
    assert not reason.retry  # it would ask for more
    busy = reason_of("refine", text.replace("Memory specification can not be satisfied", "Unable to contact slurm "
                                            "controller"), "", ASKED)
    assert busy and busy.retry


@pytest.mark.parametrize(("words", "remedy"), [
    ("Batch job submission failed: Invalid account or account/partition combination specified", "slurm_account"),
    ("Batch job submission failed: Invalid account", "slurm_account"),
    ("You must specify an account", "slurm_account"),
    ("invalid partition specified: gpuu\nsbatch: error: Batch job submission failed: Invalid partition name specified",
     "slurm_partition"),
    ("Batch job submission failed: User's group not permitted to use this partition", "slurm_partition"),
    ("Batch job submission failed: Required partition not available (inactive or drain)", "slurm_partition"),
    ("QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job "
     "submit limit, user's size and/or time limits)", "`jobs:`"),
    ("AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job "
     "submit limit, user's size and/or time limits)", "`jobs:`"),
    ("Slurm MaxJobCount limit reached", "`jobs:`"),
    ("Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)", "runtime"),
    ("Batch job submission failed: Invalid qos specification", "qos="),
    ("Batch job submission failed: Requested node configuration is not available", "mem_mb"),
    ("CPU count per node can not be satisfied", "set-threads"),
    ("Batch job submission failed: Invalid generic resource (gres) specification", "ask for less"),
    ("Batch job submission failed: Invalid feature specification", "constraint"),
    ("Batch job submission failed: Requested reservation is invalid", "reservation"),
    ("unrecognized option '--qoss=x'", "slurm_extra"),
    ("Batch job submission failed: Job rejected by the site's plugin", "administrator"),
])
def test_each_refusal_of_sbatch_has_its_own_remedy(words: str, remedy: str) -> None:
    text = f"SLURM sbatch failed. The error message was 'sbatch: error: {words}'.\n    sbatch call:\n        sbatch …"
    reason = reason_of("refine", text, "", ASKED)
    assert reason and remedy in reason.remedy and not reason.retry and "{rule}" not in reason.remedy
    assert ("ask for less" in reason.remedy) == (remedy in ("mem_mb", "runtime", "set-threads", "ask for less"))


@pytest.mark.parametrize(("state", "memory", "time"), [
    ("OUT_OF_MEMORY", 2, 1), ("TIMEOUT", 1, 2), ("NODE_FAIL", 1, 1), ("PREEMPTED", 1, 1), ("FAILED", 2, 2)])
def test_a_retry_asks_for_more_of_what_was_too_little(listener, state: str, memory: int, time: int) -> None:
    error(listener, state)
    path, share = "MotionCorr/job002", cluster_failures.times_as_much
    assert (share(path, "0001", 2, "memory"), share(path, "0001", 2, "time")) == (memory, time)
    assert share(path, "0002", 2, "memory") == share(path, "0001", 3, "memory") - memory + 1 == 2  # of this job alone


def test_a_program_that_failed_by_itself_has_said_why() -> None:
    assert reason_of("motion", said("FAILED"), "Motion correction: gain.mrc: no such file", ASKED) is None


def test_what_a_job_asked_for() -> None:
    details = "   TRES=cpu=2,mem=120M,node=1\n   TimeLimit=02:00:00 TimeMin=N/A\n"
    assert asked_for(details) == "memory 120M, time 02:00:00"
    assert asked_for("") == ""


@pytest.fixture
def listener(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("MotionCorr/job002/batches").mkdir(parents=True)
    rule = SimpleNamespace(restart_times=2)
    workflow = SimpleNamespace(get_rule=lambda name: rule, dag=SimpleNamespace(jobs=[]))
    monkeypatch.setattr(cluster_failures, "output_of", lambda *words: f"TRES=mem=1G\nTimeLimit=1:00 {words[-1]}")
    cluster_failures._failed.clear()
    cluster_failures._not_for.clear()
    found = cluster_failures.listener(workflow, Plan({"motion": SimpleNamespace(path="MotionCorr/job002")}))
    found.rule = rule
    return found


def error(listener, state: str, number: str = "12") -> None:
    record = logging.makeLogRecord({
        "event": SimpleNamespace(value="job_error"), "rule_name": "motion", "rule_msg": said(state), "jobid": 5,
        "output": ["MotionCorr/job002/batches/0001.star"], "aux": {"external_jobid": number} if number else {}})
    listener.emit(record)


def finished(listener) -> None:
    listener.emit(logging.makeLogRecord({"event": SimpleNamespace(value="job_finished"), "job_id": 5}))


def test_a_killed_job_is_reported_in_its_log_and_counts_as_failed_until_a_retry_succeeds(listener, capsys) -> None:
    error(listener, "OUT_OF_MEMORY")
    text = "MotionCorr/job002: cluster job 12 was ended: out of memory"
    assert text in capsys.readouterr().err and text in Path("MotionCorr/job002/run.err").read_text()
    assert cluster_failures.failed_jobs() == {"MotionCorr/job002"} and listener.rule.restart_times == 2
    finished(listener)
    assert cluster_failures.failed_jobs() == set()


def test_a_cancelled_job_is_not_tried_again(listener) -> None:
    error(listener, "CANCELLED")
    assert listener.rule.restart_times == 0 and cluster_failures.failed_jobs()


def test_a_refused_array_is_explained_for_each_of_its_jobs(listener, capsys) -> None:
    listener.emit(logging.makeLogRecord({"msg": (
        "SLURM sbatch failed for array job submission (tasks 1-3). The error message was 'sbatch: error: Batch job "
        "submission failed: Invalid account'.\n    sbatch call:\n        sbatch …\n")}))
    record = logging.makeLogRecord({
        "event": SimpleNamespace(value="job_error"), "rule_name": "motion", "jobid": 5, "aux": {},
        "rule_msg": "Part of failed array sbatch submission (tasks 1-3); see log for details.",
        "output": ["MotionCorr/job002/batches/0001.star"]})
    listener.emit(record)
    said = capsys.readouterr().err
    assert "Invalid account" in said and "slurm_account" in said and listener.rule.restart_times == 0


def test_an_aborted_job_is_not_tried_again_and_stays_aborted(listener, capsys) -> None:
    set_exit("MotionCorr/job002", Status.ABORTED)
    error(listener, "FAILED")
    assert listener.rule.restart_times == 0 and not cluster_failures.failed_jobs()
    assert "aborted on request" in capsys.readouterr().err


def test_a_programs_own_words_reach_the_terminal(listener, capsys) -> None:
    Path("MotionCorr/job002/run.err").write_text("gain.mrc: has another shape than the movie\n")
    error(listener, "FAILED")
    assert "cluster job 12 failed: gain.mrc: has another shape" in capsys.readouterr().err


def test_a_job_of_this_computer_is_none_of_its_business(listener, capsys) -> None:
    error(listener, "FAILED", number="")
    assert capsys.readouterr().err == "" and not Path("MotionCorr/job002/run.err").exists()


def test_a_job_that_can_not_start_is_reported_and_one_that_waits_its_turn_is_not() -> None:
    found = hopeless_jobs("31|PartitionConfig|rule_refine\n32|Resources|rule_motion_wildcards_0001\n"
                          "33|Priority|rule_ctf\n34|BadConstraints|other\n"
                          "35|ReqNodeNotAvail, UnavailableNodes:n1|rule_motion_wildcards_0002\n")
    assert [line.partition(" waits")[0] for line in found] == ["refine: cluster job 31", "motion: cluster job 35"]
    assert "no node that is large enough" in found[0]


def test_a_job_that_did_not_reach_its_program_is_explained_from_its_log(listener, capsys) -> None:
    log = Path(".snakemake/slurm_logs/rule_motion/0001/12.log")
    log.parent.mkdir(parents=True)
    log.write_text("Building DAG\npython: command not found\n")
    error(listener, "FAILED")
    assert "cluster job 12 failed: python: command not found" in capsys.readouterr().err
