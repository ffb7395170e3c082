"""Puts the workflow into the wheel; an editable installation finds it where it is (cryosnake/installation.py)."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

AT_THE_TOP = ("Snakefile", "config.yaml", "rules", "scripts", "profiles", "envs", "report", "examples")


class WorkflowHook(BuildHookInterface[Any]):
    """Adds the files at the top of the repository to those of the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name them, before a wheel is built."""
        if version == "standard":
            build_data["force_include"].update({name: f"cryosnake/workflow/{name}" for name in AT_THE_TOP})
