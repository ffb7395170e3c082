"""A classification that waits for a choice, is chosen from, and is made again, with Snakemake itself."""

from __future__ import annotations

import os
from pathlib import Path
from subprocess import run as call

import pytest

from cryosnake.cli import main
from cryosnake.io.star import read_star
from cryosnake.programs.simulate.particles import StackSettings
from cryosnake.programs.simulate.project import simulate_particles
from cryosnake.project.actions.choosing import offer_for
from cryosnake.project.config.decisions import read_decisions
from small_project import command, snakemake

pytestmark = pytest.mark.workflow

CONFIG = """
title: chosen
pictures: false
jobs:
  classes: {type: class2d, particles: particles.star, classes: 2, particle_diameter: 190, iterations: 1, psi_step: 20}
  good:    {type: select, particles: classes, model: classes, classes: choose, recenter: true, regroup: 1}
  first:   {type: select, particles: classes, classes: [1, 2]}
  half:    {type: select, particles: good, split_count: 2}
"""
WAITS = "waits for you: good: choose from {job} (look at {job}/run_it{number}_classes.mrcs): cryosnake choose good"


def test_a_choice_is_waited_for_made_and_not_applied_to_the_next_classification(tmp_path, monkeypatch, capsys) -> None:
    simulate_particles(tmp_path, StackSettings(count=60, box=32, pixel_size=7.0, snr=0.1, symmetry="D2", seed=3))
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    said = snakemake(tmp_path).splitlines()
    assert said[-1].startswith(WAITS.format(job="Class2D/job001", number="001"))
    assert sorted(os.listdir("Select")) == ["first", "job002"], "what waits has no number"
    assert read_decisions("first")[0].classes == (1, 2)
    asked = call(command(tmp_path, "half"), capture_output=True, text=True)
    assert asked.returncode and "half waits for good; waits for you: good" in asked.stderr
    capsys.readouterr()
    assert main(["choose", "good", "--classes", "1"]) == 0
    snakemake(tmp_path)
    command_of = Path("Select/good/note.txt").read_text()
    assert "--classes 1 " in command_of and Path("Select/half/particles_split2.star").exists()
    assert read_star("Select/good/backup_selection.star")[""]["rlnSelected"].tolist() == [1, 0]
    assert set(read_star("Select/half/particles_split2.star")["particles"]["rlnGroupName"]) == {"group_1"}
    assert offer_for("good").relion == (), "nobody chose in RELION"
    config.write_text(CONFIG.replace("iterations: 1", "iterations: 2"))
    before = written()
    dry = call(command(tmp_path, "-n"), capture_output=True, text=True)
    assert dry.stderr.splitlines()[-2:] == [
        f"waits for you: {job}: when its classification has been made, choose from it: cryosnake choose {job} --classes"
        " N,N,…" for job in ("good", "first")]
    assert written() == before, "a dry run writes nothing"


def written() -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path().rglob("*")
            if path.is_file() and ".snakemake" not in path.parts}
