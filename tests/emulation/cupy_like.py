"""A module that looks like CuPy: NumPy's functions on arrays that refuse to meet NumPy arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy.fft

from emulation.kernels import RawKernel

_FROM_HOST = {"asarray", "array", "ascontiguousarray"}


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of the emulated device; `host` holds its values."""

    __module__ = "cupy"

    def __init__(self, host: np.ndarray) -> None:
        self.host = host

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        options = {key: _values(value) for key, value in options.items()}
        result = getattr(ufunc, method)(*(_values(value) for value in inputs), **options)
        return _wrapped(result)

    def __array__(self, *_args, **_options):
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __getitem__(self, key):
        return _wrapped(self.host[_values(key)])

    def __setitem__(self, key, value):
        self.host[_values(key)] = _values(value)

    def __len__(self):
        return len(self.host)

    def __iter__(self):
        return (ndarray(np.asarray(part)) for part in self.host)

    def __int__(self):
        return int(self.host)

    def __float__(self):
        return float(self.host)

    def __bool__(self):
        return bool(self.host)

    def get(self):
        return self.host.copy()

    def __getattr__(self, name):
        value = getattr(self.host, name)
        if callable(value):
            return lambda *args, **options: _wrapped(value(*(_values(a) for a in args),
                                                           **{k: _values(v) for k, v in options.items()}))
        return _wrapped(value)


def _values(value):
    """Return what NumPy works on; an array in host memory is an error, as in CuPy."""
    if isinstance(value, ndarray):
        return value.host
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, tuple | list):
        return type(value)(_values(part) for part in value)
    return value


def _wrapped(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    if isinstance(value, tuple | list):
        return type(value)(_wrapped(part) for part in value)
    return value


def _module(name: str, functions: ModuleType, from_host: set[str]) -> ModuleType:
    module = ModuleType(name)

    def lookup(attribute: str):
        value = getattr(functions, attribute)
        if isinstance(value, ModuleType):  # cupy.lib.stride_tricks
            return _module(f"{name}.{attribute}", value, set())
        if not callable(value) or isinstance(value, type):
            return value
        if attribute in from_host:
            def converted(array, *args, **options):
                return _wrapped(value(array.host if isinstance(array, ndarray) else array, *args, **options))
            return converted
        return lambda *args, **options: _wrapped(value(*(_values(a) for a in args),
                                                       **{k: _values(v) for k, v in options.items()}))

    module.__getattr__ = lookup  # type: ignore[method-assign]
    return module


class _Device:
    id, mem_info = 0, (1 << 28, 1 << 28)

    def __init__(self, _number: int = 0) -> None:
        pass

    def use(self) -> None:
        pass


def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Make `import cupy` find the stand-in, and yield it."""
    cupy = _module("cupy", np, _FROM_HOST)
    linear = SimpleNamespace(get_compute_type=lambda kind: 0, set_compute_type=lambda kind, value: None,
                             COMPUTE_TYPE_TF32=7)
    vars(cupy).update(
        ndarray=ndarray, RawKernel=RawKernel, _core=SimpleNamespace(_routines_linalg=linear),
        get_default_memory_pool=lambda: SimpleNamespace(free_bytes=lambda: 0),
        cuda=SimpleNamespace(Device=_Device, runtime=SimpleNamespace(getDeviceCount=lambda: 1)))
    cupyx, scipy_part = ModuleType("cupyx"), ModuleType("cupyx.scipy")
    vars(cupyx).update(empty_pinned=np.empty, scipy=scipy_part)
    vars(scipy_part).update(fft=_module("cupyx.scipy.fft", scipy.fft, set()))
    for name, module in {"cupy": cupy, "cupy._core": cupy._core, "cupy._core._routines_linalg": linear, "cupyx": cupyx,
                         "cupyx.scipy": scipy_part, "cupyx.scipy.fft": scipy_part.fft}.items():
        monkeypatch.setitem(sys.modules, name, module)
    from cryosnake.numerics.refine.kernels.cuda import compile as compiled

    compiled.kernel.cache_clear()
    yield cupy
    compiled.kernel.cache_clear()
