"""RELION's notation of GPUs, and how they are dealt out to ranks."""

from __future__ import annotations

import sys

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.numerics import backend
from cryosnake.parallel.gpus import gpus_of_rank, idle_gpus, parse_gpu_ids, visible_gpus


def test_relions_notation() -> None:
    assert parse_gpu_ids("0") == [[0]]
    assert parse_gpu_ids("0,1:2,3") == [[0, 1], [2, 3]]
    for text in ("", "a", "0,,1", "0;1", "-1"):
        with pytest.raises(CryosnakeError, match="gpu_ids"):
            parse_gpu_ids(text)


def test_given_gpus() -> None:
    there = ["0", "1", "2", "3"]
    assert [gpus_of_rank("0:2,3", rank, 3, there) for rank in range(3)] == [["0"], ["2", "3"], ["0"]]
    assert gpus_of_rank("1", 0, 1, ["GPU-a", "GPU-b"]) == ["GPU-b"]
    with pytest.raises(CryosnakeError, match="asks for GPU 4, but there are 4"):
        gpus_of_rank("4", 0, 1, there)


def test_automatic_gpus() -> None:
    assert [gpus_of_rank(None, rank, 2, ["0", "1", "2", "3"]) for rank in range(2)] == [["0", "2"], ["1", "3"]]
    assert [gpus_of_rank(None, rank, 3, ["0", "1"]) for rank in range(3)] == [["0"], ["1"], ["0"]]
    assert gpus_of_rank("", 0, 1, []) == []


def test_gpus_that_are_there(tmp_path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ["0", "1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2,GPU-x"}, tmp_path) == ["2", "GPU-x"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []


def test_gpus_that_are_reserved_and_not_used_are_reported(monkeypatch) -> None:
    monkeypatch.setattr(backend, "why_no_gpu", lambda wish: "CuPy finds no CUDA device (no driver)")
    said = idle_gpus(2, "auto")
    assert said.startswith("warning: 2 GPUs are reserved for this job, which computes on the CPU: CuPy finds no CUDA "
                           "device (no driver). ") and "set device: cpu" in said
    assert idle_gpus(0, "auto") == idle_gpus(1, "cpu") == idle_gpus(1, "gpu") == ""  # gpu: the program fails without
    monkeypatch.setattr(backend, "why_no_gpu", lambda wish: "")
    assert idle_gpus(1, "auto") == ""


def test_why_there_is_no_gpu(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # as where it is not installed
    assert backend.why_no_gpu("auto").startswith("CuPy finds no CUDA device (")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert backend.why_no_gpu("auto") == "SLURM has allocated none to this job"
    assert backend.choose_device("auto") == backend.choose_device("cpu") == "cpu"
    with pytest.raises(CryosnakeError, match=r"requested, but CuPy finds no CUDA device .*install cryosnake\[cuda12\]"):
        backend.choose_device("gpu")
