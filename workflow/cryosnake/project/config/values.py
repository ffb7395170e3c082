"""Checks of single config values, and help for misspelt names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from typing import Any, get_args, get_origin

from cryosnake.jobs.model import Parameter

NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return "; did you mean …?" for the nearest of the allowed names, or nothing."""
    import difflib  # imported here: needed only for a misspelt name, and every job imports this module

    close = difflib.get_close_matches(name, list(allowed), 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_value(key: str, parameter: Parameter, value: Any, error: Callable[[str, str], Exception]) -> Any:
    """Return `value` as the parameter's kind (bool, int, float, str, a list of one of them, or a mapping of texts).

    Raises
    ------
    Exception
        returned by `error(key, message)`, when the value has the wrong type or is out of range
    """
    kind, minimum, maximum, choices = parameter.kind, parameter.minimum, parameter.maximum, parameter.choices
    if get_origin(kind) is dict:
        return _judged(key, parameter, _check_mapping(key, value, error, parameter.length), error)
    if get_origin(kind) is list:
        if not isinstance(value, list) or (parameter.length and len(value) != parameter.length):
            count = f"{parameter.length} values" if parameter.length else "values"
            raise error(key, f"must be a list of {count}, as in [1, 2], not {value!r}")
        item = replace(parameter, kind=get_args(kind)[0], check=None)
        return _judged(key, parameter, [check_value(f"{key}[{i}]", item, one, error) for i, one in enumerate(value)],
                       error)
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):  # YAML reads 1e3 as a text
        with suppress(ValueError):
            value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise error(key, f"must be {NAMES[kind]}, not {value!r}")
    if kind is str and not value.isprintable():
        raise error(key, f"must be one line of text that can be printed, not {value!r}")
    if choices and value not in choices:
        raise error(key, f"must be one of {', '.join(choices)}, not {value!r}{nearest(str(value), choices)}")
    if kind is float and not isfinite(value):
        raise error(key, f"must be a finite number, not {value}")
    if kind in (int, float) and ((minimum is not None and value < minimum)
                                 or (maximum is not None and value > maximum)):
        raise error(key, f"must be {_range(minimum, maximum)}, not {value}")
    return _judged(key, parameter, value, error)


def check_order(parameters: Iterable[Parameter], stated: Mapping[str, Any], key_of: Callable[[str], str],
                error: Callable[[str, str], Exception]) -> None:
    """Check parameters that must not exceed others, with defaults for those that are not in `stated`.

    Raises
    ------
    Exception
        returned by `error(key, message)`, with `key_of` the parameter that the user stated
    """
    known = {parameter.name: parameter for parameter in parameters}
    for low in known.values():
        high = known.get(low.at_most)
        if high is None or stated.keys().isdisjoint((low.name, high.name)):
            continue
        value, limit = (stated.get(parameter.name, parameter.default) for parameter in (low, high))
        unlimited = limit is None or (limit <= 0 and high.minimum == -1)
        if value is not None and not unlimited and value > limit:
            raise error(key_of(low.name if low.name in stated else high.name), f"{low.name} ({value:g}) must not be "
                        f"above {high.name} ({limit:g}); change one of them, or exchange them")


def _judged(key: str, parameter: Parameter, value: Any, error: Callable[[str, str], Exception]) -> Any:
    problem = parameter.check(value) if parameter.check else ""
    if problem:
        raise error(key, f"{problem}, not {value!r}")
    return value


def _check_mapping(key: str, value: Any, error: Callable[[str, str], Exception], length: int) -> dict[str, str]:
    """Return a mapping with its values as texts: for a command line their YAML types do not matter."""
    if not isinstance(value, Mapping):
        raise error(key, f"must be a mapping, as in {{name: value}}, not {value!r}")
    if length and len(value) > length:
        raise error(key, f"can have {length} entries, not {len(value)}")
    for name, item in value.items():
        if not isinstance(item, (str, int, float, bool, type(None))):
            raise error(f"{key}.{name}", f"must be one value, not {item!r}")
    return {str(name): _plain(item) for name, item in value.items()}


def _plain(item: Any) -> str:
    if item is None:
        return ""
    return str(item).lower() if isinstance(item, bool) else str(item)


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is not None and maximum is not None:
        return f"between {minimum:g} and {maximum:g}"
    return f"at least {minimum:g}" if minimum is not None else f"at most {maximum:g}"
