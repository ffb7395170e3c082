"""What a job directory and a listed file are: the two functions that names from files pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryosnake.names import (
    is_alias,
    is_below,
    is_job_name,
    is_listed_name,
    job_of_link,
    shown,
    why_not_ours,
    why_unusable,
)


@pytest.mark.parametrize(("name", "good"), [
    ("Class2D/job007/", True), ("External/job1234/", True), ("MyType/job001/", True),
    ("Class2D/job007", False), ("Class2D/job07/", False), ("../victim/job002/", False), ("/data/victim/job002/", False),
    ("Class2D/../victim/job002/", False), ("Class2D/job007/sub/", False), ("./job007/", False), (".git/job007/", False),
    ("..//job007/", False), ("Trash/job007/", False), ("Class\n2D/job007/", False), ("", False), ("job007/", False),
])
def test_names_of_jobs(name: str, good: bool) -> None:
    assert is_job_name(name) == good


@pytest.mark.parametrize(("alias", "good"), [
    ("Class2D/best/", True), ("Class2D/best", True), ("Class2D/../x/", False), ("../Class2D/best/", False),
    ("Refine3D/best/", False), ("Class2D/.best/", False), ("Class2D/job003/", False), ("Class2D/a/b/", False),
    ("/Class2D/best/", False), ("Class2D/", False), ("best", False),
])
def test_aliases(alias: str, good: bool) -> None:
    assert is_alias(alias, "Class2D/job007/") == good


@pytest.mark.parametrize(("name", "good"), [
    ("run_data.star", True), ("Movies/a b.mrc", True), ("a..b/c", True), ("../x", False), ("a/../../x", False),
    ("/etc/x", False), ("", False), ("a\0b", False), ("..", False), (".", False), ("a/", False),
    ("n" * 300, False), ("a/" * 300 + "b", True), ("./a", True),
])
def test_names_of_listed_files(name: str, good: bool) -> None:
    assert is_listed_name(name) == good


def test_no_link_on_the_way_leaves_a_folder(tmp_path) -> None:
    job, other = tmp_path / "job001", tmp_path / "other"
    (job / "sub").mkdir(parents=True)
    other.mkdir()
    (job / "out").symlink_to(other)
    (job / "in").symlink_to("sub")
    (job / "file").symlink_to(other / "x")  # the link itself is below the folder
    assert [name for name in ("sub/x", "new/x", "in/x", "file", "out", "out/x", "out/../x") if is_below(job, name)] == [
        "sub/x", "new/x", "in/x", "file", "out"]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project, another one beside it, and a disk."""
    for project in ("mine", "theirs"):
        for job in ("Refine3D/job001", "Class2D/job003"):
            (tmp_path / project / job).mkdir(parents=True)
            (tmp_path / project / job / "job.star").touch()
        (tmp_path / project / "default_pipeline.star").touch()
    (tmp_path / "disk/job002").mkdir(parents=True)
    (tmp_path / "disk/job002/job.star").touch()
    (tmp_path / "disk/Extract/job004").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path


@pytest.mark.parametrize(("link", "target", "name", "why"), [
    ("Refine3D/job002", "../../disk/job002", "Refine3D/job002/", ""),
    ("Extract", "../disk/Extract", "Extract/job004/", ""),
    ("Extract", "../disk/Extract", "Extract/job005/", "does not exist"),
    ("Refine3D/job009", "../../disk/nowhere", "Refine3D/job009/", "does not exist"),
    ("Refine3D/job009", "../../disk", "Refine3D/job009/", "not a job directory"),
    ("Refine3D/job009", "../../theirs/Refine3D/job001", "Refine3D/job009/", "belongs to another project"),
    ("Refine3D/job009", "../../theirs", "Refine3D/job009/", "not a job directory"),
    ("Class3D", "../theirs/Class2D", "Class3D/job009/", "belongs to another project"),
    ("Class3D", "../theirs/Class2D", "Class3D/job003/", "belongs to another project"),
    ("Refine3D/job009", "job001", "Refine3D/job009/", "another job of this project"),
    ("Refine3D/job009", "../Class2D/job003", "Refine3D/job009/", "another job of this project"),
    ("Refine3D/job009", "..", "Refine3D/job009/", "contains the project"),
])
def test_links_that_are_jobs_of_the_project(project, link: str, target: str, name: str, why: str) -> None:
    Path(link).symlink_to(target)
    found = why_not_ours("", name)
    assert (why in found and "it is a link to" in found) if why else not found
    assert not why_not_ours("", "Refine3D/job001/")


def test_alias_links_lead_to_jobs_of_their_type(project) -> None:
    for name, target in {"best": "../Refine3D/job001/", "gone": "../Refine3D/job099", "here": "job001",
                         "other": "../Class2D/job003/", "out": "../../theirs/Refine3D/job001", "data": "/data",
                         "whole": project / "mine/Refine3D/job001",
                         "theirs": project / "theirs/Refine3D/job001"}.items():
        Path("Refine3D", name).symlink_to(target)
    assert {name: job_of_link(f"Refine3D/{name}", "Refine3D") for name in ("best", "gone", "here", "whole")} == {
        "best": "Refine3D/job001/", "gone": "Refine3D/job099/", "here": "Refine3D/job001/",
        "whole": "Refine3D/job001/"}
    assert not any(job_of_link(f"Refine3D/{name}", "Refine3D") for name in ("other", "out", "data", "theirs", "job001"))


@pytest.mark.parametrize(("name", "printed", "good"), [
    ("Movies/a.tiff", "Movies/a.tiff", True), ("é µ.tiff", "é µ.tiff", True), ("a\u3000b", "a\\u3000b", True),
    ("it's", "it's", True), ("a\nb", "a\\nb", False), ("a\x85b\u2029", "a\\x85b\\u2029", False),
    ("\udcff.tiff", "\\xff.tiff", False), ("a\x1b[31m", "a\\x1b[31m", False), ("'\"", "'\"", False),
])
def test_names_of_movies(name: str, printed: str, good: bool) -> None:
    assert (why_unusable(name) == "") == good and shown(name) == printed
