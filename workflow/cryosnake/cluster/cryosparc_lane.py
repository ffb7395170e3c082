"""A cluster lane of cryoSPARC: cluster_info.json and cluster_script.sh, with variables in {{ }} (Jinja)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryosnake.cluster.lane import ClusterLane, without_mpi_launcher
from cryosnake.errors import CryosnakeError
from cryosnake.json_files import read_json
from cryosnake.names import is_listed_name

COMMAND = r"\{\{-?\s*run_cmd\s*-?\}\}"
KNOWN = ("run_cmd", "num_cpu", "num_gpu", "ram_gb", "job_dir_abs", "project_dir_abs", "job_log_path_abs",
         "worker_bin_path", "run_args", "project_uid", "job_uid", "job_creator", "cryosparc_username", "job_type",
         "script_path_abs", "command", "cluster_job_id")


def read_cryosparc_lane(info_file: Path, script_file: Path, variables: Mapping[str, str]) -> tuple[ClusterLane, str]:
    """Return the lane and the script template, as `cryosnake profile import` keeps them.

    Parameters
    ----------
    info_file, script_file
        cluster_info.json and cluster_script.sh.
    variables
        Values of the lab's own variables (cluster_job_custom_vars).

    Raises
    ------
    CryosnakeError
        for unreadable files, a missing command, a script without {{ run_cmd }}, a variable without a value
    """
    try:
        info = read_json(info_file)
    except (OSError, ValueError) as error:
        raise CryosnakeError(f"{info_file}: is not a cluster_info.json ({error}); `cryosparcm cluster dump NAME` "
                             "writes one") from error
    name = str(info.get("name", info_file.stem)) if isinstance(info, dict) else ""
    if not is_listed_name(name):
        raise CryosnakeError(f"{info_file}: the lane's name {name!r} would lead out of profiles/; correct it")
    commands = {}
    for key in ("qsub_cmd_tpl", "qstat_cmd_tpl", "qdel_cmd_tpl"):
        if not isinstance(info, dict) or not info.get(key) or not isinstance(info[key], str):
            raise CryosnakeError(f"{info_file}: has no {key}; add the command (docs/cluster.md has an example)")
        commands[key] = info[key]
    try:
        script = script_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CryosnakeError(f"{script_file}: can't be read as a script in UTF-8 ({error})") from error
    template, launcher = without_mpi_launcher(script, COMMAND)
    if "run_cmd" not in _names(template, script_file):
        raise CryosnakeError(f"{script_file}: has no {{{{ run_cmd }}}}, so it would run nothing")
    own = {"worker_bin_path": str(info.get("worker_bin_path", "")), **variables}
    lane = ClusterLane(kind="cryosparc", name=name, template="cluster_script.sh",
                submit=commands["qsub_cmd_tpl"], status=commands["qstat_cmd_tpl"], cancel=commands["qdel_cmd_tpl"],
                send=str(info.get("send_cmd_tpl") or ""), variables=own, launcher=launcher)
    texts = (template, *commands.values(), lane.send)
    missing = {name for text in texts for name in _names(text, script_file)} - {*KNOWN, *own}
    if missing:
        raise CryosnakeError(f"{script_file}: the variables {', '.join(sorted(missing))} are the lab's own; give their "
                             f"values: {' '.join(f'--set {name}=…' for name in sorted(missing))}")
    return lane, template


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a template with its variables filled in.

    Raises
    ------
    CryosnakeError
        for a variable without a value, or a mistake in the template
    """
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    try:
        return SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(template).render(
            values)
    except TemplateError as error:
        raise CryosnakeError(f"the cluster's script template: {error}; see cluster_script.sh and lane.json of the "
                             "profile") from error


def _names(text: str, path: Path) -> set[str]:
    """Return the variables of a template that need a value from outside."""
    from jinja2 import Environment, TemplateSyntaxError, meta

    try:
        return set(meta.find_undeclared_variables(Environment().parse(text)))
    except RecursionError:
        raise CryosnakeError(f"{path}: is nested too deep; cryoSPARC could not read this template either") from None
    except TemplateSyntaxError as error:
        raise CryosnakeError(f"{path}, line {error.lineno}: {error.message}; cryoSPARC could not read this template "
                             "either") from error
