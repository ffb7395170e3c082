"""Snakemake's own options on a project: dry run, graphs, another config file, lint; and how mistakes are told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cryosnake.io.mrc import write_mrc
from small_project import CONFIG, ROOT, command, snakemake

pytestmark = pytest.mark.workflow


@pytest.fixture
def project(tmp_path) -> Path:
    """A project that was never run, with movies that nobody reads here."""
    (tmp_path / "Movies").mkdir()
    for number in range(3):
        path = tmp_path / f"Movies/movie_{number}.mrcs"
        write_mrc(path, np.zeros((2, 384, 384), np.float32), 3.54, stack=True)
        os.utime(path, (time.time() - 60,) * 2)
    (tmp_path / "config.yaml").write_text(CONFIG.replace("*.tiff", "*.mrcs"))
    write_mrc(tmp_path / "gain.mrc", np.ones((384, 384), np.float32), 3.54)
    return tmp_path


def refused(project: Path, *extra: str) -> str:
    result = subprocess.run(command(project, *extra), capture_output=True, text=True)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    return result.stdout + result.stderr


def below(project: Path) -> set[str]:
    return {str(path.relative_to(project)) for path in project.rglob("*") if ".snakemake" not in path.parts}


def test_a_dry_run_of_a_new_project_names_its_jobs_and_writes_nothing(project) -> None:
    before = below(project)
    output = snakemake(project, "--dry-run")
    assert "motion (MotionCorr/job002), batch 0001" in output
    assert "particles (Extract/job005), all batches" in output
    assert below(project) == before


@pytest.mark.parametrize("option", ["--rulegraph", "--dag"])
def test_graphs_show_the_names_of_the_jobs(project, option) -> None:
    result = subprocess.run(command(project, option), capture_output=True, text=True, check=True)
    for name in ("movies", "motion", "ctf", "picks", "particles"):
        assert name in result.stdout
    assert "digraph" in result.stdout
    assert option == "--dag" or "batch" not in result.stdout


def test_another_config_file_replaces_the_projects_own(project) -> None:
    other = project / "only_motion.yaml"
    other.write_text(CONFIG.replace("*.tiff", "*.mrcs").partition("  ctf:")[0])
    output = snakemake(project, "--configfile", str(other), "--dry-run")
    assert "motion (MotionCorr/job002)" in output
    assert "CtfFind" not in output


def test_a_mistake_in_the_config_has_its_file_line_and_remedy(project) -> None:
    text = CONFIG.replace("*.tiff", "*.mrcs").replace("patches:", "patchs:")
    (project / "config.yaml").write_text(text)
    line = next(number for number, content in enumerate(text.splitlines(), 1) if "patchs" in content)
    output = refused(project, "--dry-run")
    assert f"config.yaml, line {line}: jobs.motion.patchs: unknown key" in output
    assert "did you mean 'patches'?" in output


def test_a_project_without_config_is_explained(tmp_path) -> None:
    assert "config.yaml" in refused(tmp_path, "--dry-run")


def test_lint_finds_nothing(project) -> None:
    result = subprocess.run([*command(project), "--lint"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_bare_call_in_the_sources_takes_the_default_profile(project, tmp_path_factory) -> None:
    sources = tmp_path_factory.mktemp("sources")
    for name in ("Snakefile", "rules", "scripts", "workflow", "profiles", "envs", "report"):
        source = ROOT / name
        shutil.copytree(source, sources / name) if source.is_dir() else shutil.copy(source, sources)
    shutil.copytree(project, sources, dirs_exist_ok=True)
    program = Path(sys.executable).with_name("snakemake")
    result = subprocess.run([program, "--dry-run"], cwd=sources, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "profiles/default" in result.stderr + result.stdout
