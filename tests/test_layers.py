"""Who may import whom (docs/architecture.md), read from the sources."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "workflow" / "cryosnake"

# layer -> cryosnake packages that it may import besides itself, errors and atomic
ALLOWED = {
    "errors": set(),
    "atomic": set(),
    "jobs": set(),
    "io": set(),
    "numerics": set(),
    "pipeline": {"jobs"},
    "programs": {"io", "numerics", "parallel", "report"},  # panels beside their results
    "report": {"io", "jobs", "pipeline", "numerics"},
    "project": {"pipeline", "jobs", "io"},
    "running": {"project", "pipeline", "jobs", "io", "programs", "report", "parallel"},
    "parallel": {"io", "numerics"},
    "cluster": set(),
    "watching": {"project"},
    "cli": {"project", "pipeline", "report", "programs", "running", "io", "cluster", "watching"},
}
STANDARD_ONLY = ("jobs", "pipeline", "atomic")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_allowed_layers(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    layer = parts[0]
    if layer == "__init__":
        return
    for name in imports(path):
        if name.startswith("cryosnake."):
            other = name.split(".")[1]
            assert other in ALLOWED[layer] | {layer, "errors", "atomic"}, f"{path} ({layer}) imports {name}"
        elif layer in STANDARD_ONLY:
            assert name.split(".")[0] in sys.stdlib_module_names | {"cryosnake"}, f"{path} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_cupy_is_only_imported_inside_functions(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.split(".")[0] in ("cupy", "cupyx", "mpi4py", "matplotlib") for name in names), path


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_above_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_test_files_have_names_of_their_own() -> None:
    """Their folders are no packages: pytest takes two files of one name for the same module."""
    names = [path.name for path in Path(__file__).resolve().parent.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_planning_imports_no_numerics() -> None:
    """What the Snakefile imports must not pull in NumPy and its like: every SLURM job parses it again."""
    code = ("import sys; import cryosnake.project.planning.rule_values, cryosnake.project.run.session; "
            "print([m for m in ('numpy', 'pandas', 'scipy', 'numba', 'mrcfile', 'tifffile') if m in sys.modules])")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_planning_imports_are_cheap() -> None:
    """No dearer than three quarters of four packages of the standard library, counted in calls.

    The design's budget is 0.15 s (docs/performance.md has the seconds): a count is the same on a busy machine.
    """
    ours = ("import cryosnake.project.planning.rule_values, cryosnake.project.run.session; "
            "from cryosnake.jobs.registry import job_types; job_types()")
    yardstick = "import asyncio, http.client, unittest, xml.dom.minidom, logging, argparse, json"
    count = ("import sys; calls = []; code = compile(sys.argv[1], 'budget', 'exec'); "
             "sys.setprofile(lambda frame, event, value: calls.append(1) if event in ('call', 'c_call') else None); "
             "exec(code); sys.setprofile(None); print(len(calls))")

    def calls(code: str) -> int:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return min(int(subprocess.run([sys.executable, "-c", count, code], capture_output=True, text=True, env=kept,
                                      check=True).stdout) for _ in range(2))  # the first may compile

    assert calls(ours) < 0.75 * calls(yardstick)


@pytest.mark.parametrize("program", ["import_data", "select", "maskcreate", "localres"])
def test_jobs_that_compile_nothing_do_not_import_numba(program: str) -> None:
    """It is a third of a second at every start; one that is imported late obeys the threads all the same."""
    code = (f"import sys, cryosnake.running.run, cryosnake.programs.{program}\n"
            "from cryosnake.parallel.threads import thread_limit\n"
            "with thread_limit(1):\n    print('numba' in sys.modules)\n    import numba\n"
            "    print(numba.get_num_threads())")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "1"]
