"""The fixtures of the watcher's tests: an empty project, and a stand-in for Snakemake."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_session import CONFIG, Snakemake, configure

from cryosnake.watching import rounds


@pytest.fixture
def snakemake(monkeypatch) -> Snakemake:
    stand_in = Snakemake()
    monkeypatch.setattr(rounds, "begin", stand_in)
    monkeypatch.setattr(rounds, "has_begun", lambda call: True)
    monkeypatch.setattr("cryosnake.project.records.freshness.product_files", lambda *_: [])
    return stand_in


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("Movies").mkdir()
    configure(CONFIG)
    return tmp_path
