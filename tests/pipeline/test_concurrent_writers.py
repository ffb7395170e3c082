"""Four writers of ours and RELION's pipeliner on one project; benchmarks/concurrent_writers.py does 1,000 updates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(root: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, str(root / "benchmarks" / "concurrent_writers.py"), *words],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.relion
def test_nothing_is_lost_beside_relion(root: Path, relion: Path) -> None:
    text = run(root, "--updates", "80")
    assert "lost: none; locks left: none" in text
    assert "RELION: " in text


def test_nothing_is_lost_without_relion(root: Path) -> None:
    assert "80 updates by 4 writers" in run(root, "--updates", "80", "--no-relion")
