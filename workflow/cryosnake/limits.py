"""Limits of columns, as in {rlnCtfMaxResolution: "..6"}, and which of them a row does not keep; for every layer.

A limit is "min..max", either of which may be left out. A row keeps it with a value between the two, both included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

ACCEPT, REJECT = "accept", "reject"  # what a person says of one micrograph or particle
BY_EYE = "by eye"  # the reason for what a person rejected
_LABEL = r"[A-Za-z]\w*"


@dataclass(frozen=True)
class Limit:
    """The smallest and the largest value that are kept."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        """Return it as "min..max"."""
        return "..".join("" if math.isinf(end) else f"{end:.10g}" for end in (self.low, self.high))


def limit_of(text: str) -> Limit:
    """Return the limit that a text says; ValueError for a text that says none."""
    low, dots, high = text.strip().partition("..")
    if not dots or not (low.strip() or high.strip()):
        raise ValueError("write smallest..largest value, as in 5000..25000, ..6 or 0.1..")
    try:
        found = Limit(float(low) if low.strip() else -math.inf, float(high) if high.strip() else math.inf)
    except ValueError:
        raise ValueError(f"{text!r} has no numbers around its two dots, as 5000..25000, ..6 and 0.1.. have") from None
    if not found.low <= found.high or math.isnan(found.low + found.high):
        raise ValueError(f"{text!r} keeps nothing: write the smaller value first")
    return found


def limits_of(texts: Mapping[str, str] | None) -> dict[str, Limit]:
    """Return the limits by column; ValueError where one says none."""
    return {label: limit_of(text) for label, text in (texts or {}).items()}


def limits_problem(texts: Mapping[str, str]) -> str:
    """Judge the value of a parameter `limits`: what is wrong with it, "" if nothing is."""
    for label, text in texts.items():
        if not re.fullmatch(_LABEL, label):
            return f"must have names of columns, such as rlnCtfMaxResolution, and {label!r} is none"
        try:
            limit_of(text)
        except ValueError as error:
            return f"{label}: {error}"
    return ""


def flags_problem(flags: Mapping[str, str]) -> str:
    """Judge the value of a parameter `flags`: what is wrong with it, "" if nothing is."""
    wrong = next((name for name, flag in flags.items() if flag not in (ACCEPT, REJECT)), "")
    return f"must have {ACCEPT} or {REJECT} for each name, and {wrong} has {flags[wrong]!r}" if wrong else ""


def why_out(values: Mapping[str, float], limits: Mapping[str, Limit], flag: str = "") -> tuple[str, ...]:
    """Return why a row is left out, one text for each rule that it breaks; none for one that goes on.

    The texts name values, not limits: they stay true while a limit moves without reaching the row. KeyError where there
    is no value for a limit. A flag decides alone.
    """
    if flag:
        return (BY_EYE,) if flag == REJECT else ()
    reasons = []
    for label, limit in limits.items():
        value = values[label]
        if not limit.low <= value <= limit.high:
            words = "is no number" if math.isnan(value) else "is too small" if value < limit.low else "is too large"
            reasons.append(f"{label} {words}" + ("" if math.isnan(value) else f" ({value:.6g})"))
    return tuple(reasons)
