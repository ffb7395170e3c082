"""The package as others install it: what the wheel holds."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
AT_THE_TOP = ("Snakefile", "config.yaml", "rules", "scripts", "profiles", "envs", "report", "examples")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder], cwd=ROOT,
                   check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_package_and_workflow_as_they_are_in_the_repository(wheel) -> None:
    listed = subprocess.run(["git", "ls-files", "-z", "workflow/cryosnake", *AT_THE_TOP], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.rstrip("\0").split("\0")
    places = {name: name.removeprefix("workflow/") if name.startswith("workflow/") else f"cryosnake/workflow/{name}"
              for name in listed}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == set(places.values())
        for name, place in places.items():
            assert archive.read(place) == (ROOT / name).read_bytes(), name
