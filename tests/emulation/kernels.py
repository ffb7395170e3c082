"""CUDA sources compiled as C++ with the definitions of device.hpp, and called like CuPy's RawKernel."""

from __future__ import annotations

import ctypes
import functools
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

HEADER = Path(__file__).with_name("device.hpp")
_TYPES = {"float*": np.float32, "double*": np.float64, "long long*": np.int64, "float2*": np.complex64,
          "float4*": np.float32}


def parameters(source: str, name: str) -> list[str]:
    """Return the types of a kernel's parameters."""
    found = re.search(rf'extern "C" __global__ void (?:__launch_bounds__\(\w+\) )?{name}\((.*?)\)', source, re.DOTALL)
    assert found, name
    words = [" ".join(part.split()) for part in found[1].split(",")]
    return [word.rsplit(" ", 1)[0].removeprefix("const ").strip() for word in words]


@functools.cache
def _library(source: str, name: str, options: tuple[str, ...]) -> ctypes.CDLL:
    arguments = ", ".join(f"*({kind}*)arguments[{i}]" for i, kind in enumerate(parameters(source, name)))
    folder = Path(tempfile.mkdtemp(prefix="emulated"))
    unit, result = folder / "kernel.cpp", folder / "kernel.so"
    entry = (f'extern "C" void run(const long long* grid, long long threads, void** arguments) {{\n'
             f"    emulation::launch(grid, threads, [=] {{ {name}({arguments}); }});\n}}\n")
    unit.write_text(f'#include "{HEADER}"\n{source}\n{entry}')
    flags = ["-O2", "-U_FORTIFY_SOURCE", "-shared", "-fPIC", "-w", *options]  # fibers jump between stacks
    subprocess.run(["g++", *flags, "-o", result, unit], check=True)
    return ctypes.CDLL(str(result))


class RawKernel:
    """Like cupy.RawKernel; types of arguments are checked, which CuPy does not do."""

    def __init__(self, source: str, name: str, options: tuple[str, ...] = ()) -> None:
        self.source, self.name, self.options = source, name, options

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple) -> None:
        assert len(block) == 1 and block[0] <= 1024 and (len(grid) < 2 or grid[1] <= 65535)
        kinds = parameters(self.source, self.name)
        assert len(kinds) == len(arguments), f"{self.name}: {len(arguments)} arguments for {len(kinds)} parameters"
        values = [self._value(kind, argument) for kind, argument in zip(kinds, arguments, strict=True)]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.cast(ctypes.pointer(v), ctypes.c_void_p) for v in values))
        size = (ctypes.c_longlong * 2)(*(int(n) for n in (*grid, 1)[:2]))
        _library(self.source, self.name, self.options).run(size, ctypes.c_longlong(block[0]), pointers)

    def _value(self, kind: str, argument: object) -> ctypes._SimpleCData:
        if kind in _TYPES:
            array = argument.host  # type: ignore[attr-defined]
            assert array.dtype == _TYPES[kind], f"{self.name}: {array.dtype} for {kind}"
            assert array.flags.c_contiguous, f"{self.name}: an array that is not contiguous for {kind}"
            return ctypes.c_void_p(array.ctypes.data)
        expected = {"long long": int, "double": float}[kind]
        assert type(argument) is expected, f"{self.name}: {type(argument)} for {kind}"
        return (ctypes.c_longlong if kind == "long long" else ctypes.c_double)(argument)
