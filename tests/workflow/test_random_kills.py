"""A few `kill -9`, and a full disk: each time the same command completes the project, and does nothing twice."""

from __future__ import annotations

import pytest

from clean_up_kills import kill_clean_up
from full_disk import can_mount, full_at
from power_cuts import cut_chain
from random_kills import Reference, kill_chain, make_grown, make_reference

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Reference:
    """A project that was never killed."""
    return make_reference(tmp_path_factory.mktemp("kills"), movies=3)


def test_a_project_in_which_programs_are_killed_is_completed(reference, tmp_path) -> None:
    outcome = kill_chain(reference, tmp_path / "project", seed=2, most=2)
    print(outcome.kills)
    assert outcome.kills
    assert outcome.wrong == [], (tmp_path / "project.log").read_text()[-5000:]


def test_a_finished_project_that_grows_keeps_what_it_had(reference, tmp_path) -> None:
    outcome = kill_chain(make_grown(reference), tmp_path / "project", seed=3, most=3)
    print(outcome.kills)
    assert outcome.kills
    assert outcome.wrong == [], (tmp_path / "project.log").read_text()[-5000:]


def test_after_a_power_cut_the_same_command_completes_the_project(reference, tmp_path) -> None:
    outcome = cut_chain(reference, tmp_path / "project", seed=2)
    print(outcome.doing, *outcome.suffered, sep="\n")
    assert outcome.doing and outcome.suffered
    assert outcome.wrong == [], (tmp_path / "project.log").read_text()[-5000:]


@pytest.mark.parametrize("seed", [2, 3, 5, 7, 11])
def test_a_clean_up_that_is_killed_can_be_repeated_and_undone(reference, tmp_path, seed) -> None:
    told, wrong = kill_clean_up(reference.finished, tmp_path / "project", seed)
    print(told)
    assert wrong == []


def test_a_run_that_fills_the_disk_is_completed_with_more_space(reference, tmp_path) -> None:
    if not can_mount(tmp_path / "disk"):
        pytest.skip("only root can mount a small file system")
    said, wrong = full_at(reference, tmp_path / "disk", 0.6)
    assert wrong == []
    assert "No space left" in said
