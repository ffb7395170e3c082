"""The command that starts MPI ranks, what it says when something is missing, and the rule that holds it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.refine3d import JOB
from cryosnake.parallel.ranks import SingleRank
from cryosnake.project.planning import rule_values as lookup
from cryosnake.project.planning.planned import Plan
from cryosnake.running import launch
from cryosnake.running.ranks import check_ranks

NO_GPU = Plan({})


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(launch, "find_spec", lambda name: object())
    monkeypatch.setattr(launch.shutil, "which", lambda name: f"/usr/bin/{name}")


def test_mpirun_or_srun_or_what_was_asked_for(installed) -> None:
    program = ["run_refine3d.py", "--threads", "4"]
    assert launch.command(2, "", program, {}) == ["mpirun", "-n", "2", sys.executable, *program]
    assert launch.command(3, "", program, {"SLURM_JOB_ID": "7"}) == [
        "srun", "-n", "3", "-c", "4", sys.executable, *program]
    assert launch.command(2, "mpiexec.hydra -ppn 1", program, {"SLURM_JOB_ID": "7"})[:5] == [
        "mpiexec.hydra", "-ppn", "1", "-n", "2"]


def test_what_is_missing_is_named(monkeypatch) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(CryosnakeError, match=r"mpi4py is not installed: pip install 'cryosnake\[mpi\]'"):
        launch.command(2, "", [], {})
    monkeypatch.setattr(launch, "find_spec", lambda name: object())
    monkeypatch.setattr(launch.shutil, "which", lambda name: None)
    with pytest.raises(CryosnakeError, match=r"no mpirun on the PATH.*openmpi-bin"):
        launch.command(2, "", [], {})


def test_ranks_that_were_not_started() -> None:
    arguments = SimpleNamespace(options=SimpleNamespace(mpi_ranks=2))
    with pytest.raises(CryosnakeError, match=r"mpi_ranks is 2, but only one process .*cryosnake\.running\.launch 2"):
        check_ranks(JOB, arguments, SingleRank())
    check_ranks(JOB, SimpleNamespace(options=SimpleNamespace(mpi_ranks=1)), SingleRank())


def planned(**parameters):
    return SimpleNamespace(config=SimpleNamespace(type=JOB, parameters=lambda: {"device": "cpu"} | parameters))


def test_a_rule_takes_the_cores_of_all_ranks() -> None:
    one, four = planned(mpi_ranks=1), planned(mpi_ranks=4, mpi_launcher="srun --mpi=pmi2")
    threads = JOB.resources.threads
    assert (lookup.threads(NO_GPU, one), lookup.threads(NO_GPU, four)) == (threads, 4 * threads)
    assert lookup.launcher(one) == "" and lookup.mpi_resources(NO_GPU, one) == {}
    assert lookup.launcher(four) == "-m cryosnake.running.launch 4 --launcher 'srun --mpi=pmi2' "
    resources = lookup.mpi_resources(NO_GPU, four)
    assert (resources["mpi"], resources["tasks"]) == ("srun", 4)
    assert [resources["cpus_per_task"]({}, given) for given in (4 * threads, 4, 1)] == [threads, 1, 1]
    on_gpus = planned(mpi_ranks=2, device="gpu")
    assert lookup.gpus(NO_GPU, on_gpus) == 0 and lookup.mpi_resources(NO_GPU, on_gpus)["gres"] == "gpu:2"
    assert lookup.gpus(NO_GPU, planned(mpi_ranks=1, device="gpu")) == 1


def test_auto_asks_for_a_gpu_where_the_plan_has_some() -> None:
    auto = planned(mpi_ranks=1, device="auto")
    assert lookup.gpus(NO_GPU, auto) == 0 and lookup.gpus(Plan({}, gpu=True), auto) == 1
    assert lookup.gpus(Plan({}, gpu=True), planned(mpi_ranks=1, device="cpu")) == 0
