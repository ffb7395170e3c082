"""Convert RELION's job.star to a job of config.yaml, by the job definitions in reverse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from cryosnake.jobs.model import JobType, Parameter
from cryosnake.jobs.registry import job_types
from cryosnake.pipeline.job_star import JobOptions
from cryosnake.pipeline.types import UNKNOWN_PROCESS, process_id_of
from cryosnake.project.config.config import ConfigError
from cryosnake.project.config.values import check_value

UNSET = ("", "None", "undefined", "-1", "-1.0", "-1.000000", "999", "-999", "9999.", "-9999.", "9999", "-9999")
SWITCHED = {"split_size": "do_split", "do_random": "do_split", "discard_label": "do_discard", "rescale": "do_rescale",
            "select_minval": "do_select_values", "select_maxval": "do_select_values",
            "image_angpix": "do_remove_duplicates"}  # options that apply only when a switch of RELION is on
OLDER = {"nr_iter_em": "nr_iter", "nr_iter_grad": "nr_iter"}  # names of RELION 3.1


def type_of(job: JobOptions) -> JobType | None:
    """Return our job type for a job.star of any RELION, None if there is none."""
    number = job.type_id
    if number == UNKNOWN_PROCESS and "external" not in job.type_label.lower():
        number = process_id_of("", job.type_label)  # early RELION 4 wrote the folder's name
        if number == UNKNOWN_PROCESS:
            return None
    return next((kind for kind in job_types().values() if kind.relion3 == number), None)


def parameters_of(kind: JobType, options: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters whose values are not our defaults, and a line about each that can't be imported."""
    found: dict[str, Any] = {}
    lines: list[str] = []
    for parameter in kind.parameters:
        if not parameter.identity and parameter.name != kind.declared:
            continue  # threads, GPUs and queues of RELION belong to another machine
        switch = parameter.relion_switch or SWITCHED.get(parameter.relion, "")
        if switch and not _is_yes(options.get(switch, "Yes")):
            continue
        try:
            value = _value(parameter, options)
            if value is not None and value != parameter.default:
                found[parameter.name] = check_value(parameter.name, parameter, value, ConfigError)
        except (ConfigError, ValueError) as error:
            lines.append(f"{parameter.relion} is left out ({error})")
    if "movies" in found:
        found.pop("micrographs", None)  # both are RELION's fn_in_raw
    return found, lines


def _value(parameter: Parameter, options: Mapping[str, str]) -> Any:
    names = [name.strip() for name in parameter.relion.split(",") if name.strip()]
    if get_origin(parameter.kind) is dict:
        return _mapping(names, options, parameter.length) if names else None
    texts = [options[name] if name in options else options.get(OLDER.get(name, ""), "") for name in names]
    if get_origin(parameter.kind) is list:
        kind = get_args(parameter.kind)[0]
        given = texts[0].split() if len(names) == 1 else texts
        return [_plain(kind, text) for text in given] if given and all(text not in UNSET for text in given) else None
    if parameter.relion_values:
        return next((key for key, known in parameter.relion_values.items() if any(texts) and _agree(known, texts)),
                    None)
    if len(texts) > 1 and _is_yes(options.get("do_grad", "No")):
        texts = texts[1:]  # RELION 4's two numbers of iterations
    text = next((text for text in texts if text), "")
    if parameter.default is None and text in UNSET:
        return None
    return _plain(parameter.kind, text) if text not in UNSET[:3] else None


def _agree(known: str, texts: list[str]) -> bool:
    expected = known.split(",") if len(texts) > 1 else [known]
    return all(not text or text == word for word, text in zip(expected, texts, strict=True))


def _mapping(names: list[str], options: Mapping[str, str], count: int) -> dict[str, str] | None:
    label, content = names
    pairs = {options.get(label.format(number=n), ""): options.get(content.format(number=n), "")
             for n in range(1, count + 1)}
    pairs.pop("", None)
    return pairs or None


def _plain(kind: Any, text: str) -> Any:
    if kind is bool:
        return _is_yes(text)
    if kind is str:
        return text
    number = float(text)
    return int(number) if kind is int else number


def _is_yes(text: str) -> bool:
    return text.lower() in ("yes", "true", "1")
