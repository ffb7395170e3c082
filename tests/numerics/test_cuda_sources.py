"""The CUDA sources compile, for the architectures in use; needs NVRTC (pip install nvidia-cuda-nvrtc), not a GPU."""

from __future__ import annotations

import ctypes
import ctypes.util
import site
from pathlib import Path

import pytest

from cryosnake.numerics.refine.kernels.cuda import accumulate, insert, normalise, pairs, score, select, slices
from cryosnake.numerics.refine.kernels.cuda.compile import OPTIONS, definitions

CASES = {
    "select": (select._SOURCE, {}),
    "normalise": (normalise._SOURCE, {"PER_SAMPLE": 32}),
    "score of maps": (score._SOURCE, {"CHILDREN": 8, "SUB": 4}),
    "score of classes": (score._SOURCE, {"CHILDREN": 2, "SUB": 4}),
    "score of coarse samples": (score._SOURCE, {"CHILDREN": 1, "SUB": 1}),
    "score of children at one shift": (score._SOURCE, {"CHILDREN": 8, "SUB": 1}),
    "score of pairs": (pairs._SOURCE, {}),
    "accumulate": (accumulate._SOURCE, {"CHILDREN": 8, "SUB": 4}),
    "slices": (slices._SOURCE, {}),
    "insert": (insert._SOURCE, {}),
}


@pytest.fixture(scope="module")
def nvrtc() -> ctypes.CDLL:
    folders = [Path(folder) / "nvidia" for folder in (*site.getsitepackages(), site.getusersitepackages())]
    found = [str(path) for folder in folders for path in sorted(folder.glob("*/lib/libnvrtc.so.*"))]
    found += [name for name in [ctypes.util.find_library("nvrtc")] if name]
    if not found:
        pytest.skip("no NVRTC (pip install nvidia-cuda-nvrtc)")
    return ctypes.CDLL(found[0])


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("case", CASES)
def test_source_compiles(nvrtc: ctypes.CDLL, case: str, architecture: str) -> None:
    source, constants = CASES[case]
    options = [*OPTIONS, *definitions(constants), f"-arch={architecture}"]
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None) == 0
    words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), words)
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert not failed, log.value.decode()
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
