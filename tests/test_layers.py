"""Who may import whom (docs/architecture.md), read from the sources."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "workflow" / "cryosnake"

FOR_ALL = {"atomic", "digests", "errors", "human", "installation", "json_files", "limits", "names", "processes",
           "star_tokens"}
# layer -> cryosnake packages that it may import besides itself and these
ALLOWED = {
    "errors": set(),
    "atomic": set(),
    "human": set(),
    "digests": set(),
    "json_files": set(),
    "limits": set(),
    "names": set(),
    "processes": set(),
    "star_tokens": set(),
    "installation": set(),
    "jobs": set(),
    "io": set(),
    "numerics": set(),
    "simulation": {"numerics"},
    "pipeline": {"jobs"},
    "programs": {"jobs", "io", "numerics", "simulation", "parallel", "report"},  # their options; pictures of iterations
    "report": {"io", "jobs", "pipeline", "numerics"},
    "project": {"pipeline", "jobs", "io"},
    "running": {"project", "pipeline", "jobs", "io", "programs", "report", "parallel"},
    "parallel": {"io", "numerics"},
    "cluster": set(),
    "watching": {"project"},
    "pages": {"project", "pipeline", "jobs", "io", "numerics", "report"},
    "cli": {"project", "pipeline", "pages", "report", "programs", "running", "io", "cluster", "watching", "parallel"},
}
OF_JOBS = ("cryosnake.jobs.forms", "cryosnake.jobs.options")  # all that programs know of job types
STANDARD_ONLY = ("jobs", "pipeline", "atomic", "digests", "human", "json_files", "limits", "names", "processes",
                 "star_tokens", "installation")

# The rooms (folders) inside a layer, floor by floor from the ground: a room may import only what stands below it.
FLOORS = {
    "project": ((".",), ("records",), ("locks",), ("config",), ("planning", "schemes", "cleaning"), ("cleaning/bulk",),
                ("run", "actions", "start"), ("building",)),
    "programs": (("maps", "micrographs", "optics", "select", "simulate"), ("refinement",),
                 ("class2d", "class3d", "ctfrefine", "initialmodel", "joinstar", "refine3d",
                  "subtract"), ("polish",)),
    "numerics/refine": (("kernels/cuda",), ("kernels",), ("sums",), ("grids",), ("search", "classes")),
    "report": (("panels", "flowchart"), (".",)),
    "pages": (("blocks",), ("panels",), ("facts",), (".",), ("web/reading",), ("web/serving",),
              ("web/views", "web/deciding", "web/building"), ("web",)),
}
MOST_FILES = 20  # in a room; 12 beside the rooms of project and programs


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
            assert other in ALLOWED[layer] | FOR_ALL | {layer}, f"{path} ({layer}) imports {name}"
            assert (layer, other) != ("programs", "jobs") or name in OF_JOBS, f"{path} imports {name}"
        elif layer in STANDARD_ONLY:
            assert name.split(".")[0] in sys.stdlib_module_names | {"cryosnake"}, f"{path} imports {name}"


def module_graph() -> dict[Path, set[Path]]:
    """Which file imports which: late imports and those for type checkers counted."""
    files = {".".join(("cryosnake", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in modules()}
    graph = {}
    for path in modules():
        names = imports(path) | {f"{node.module}.{alias.name}" for node in ast.walk(ast.parse(path.read_text()))
                                 if isinstance(node, ast.ImportFrom) for alias in node.names}
        graph[path] = {files[name] for name in names if name in files} - {path}
    return graph


def test_no_import_circles() -> None:
    try:
        graphlib.TopologicalSorter(module_graph()).prepare()
    except graphlib.CycleError as error:
        pytest.fail("these import each other: " + " <- ".join(str(path.relative_to(PACKAGE)) for path in error.args[1]))


def room_of(path: Path, layer: str) -> str:
    return str(path.parent.relative_to(PACKAGE / layer))


@pytest.mark.parametrize("layer", FLOORS)
def test_a_room_imports_only_what_stands_below_it(layer: str) -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS[layer]) for room in rooms}
    for path, imported in module_graph().items():
        if not path.is_relative_to(PACKAGE / layer) or path.name == "__init__.py":
            continue
        room = room_of(path, layer)
        assert room in floor, f"{path} stands in no room of FLOORS"
        for other in imported:
            if other.is_relative_to(PACKAGE / layer) and room_of(other, layer) != room:
                assert floor[room_of(other, layer)] < floor[room], f"{path} imports {other}"


def test_rooms_are_small_enough_to_read() -> None:
    for folder in {path.parent for path in modules()}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        most = 12 if folder in (PACKAGE / "project", PACKAGE / "programs") else MOST_FILES
        assert len(files) <= most, f"{folder} holds {len(files)} files"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_cupy_is_only_imported_inside_functions(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.split(".")[0] in ("cupy", "cupyx", "mpi4py", "matplotlib") for name in names), path


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


@pytest.mark.parametrize("program", ["micrographs.import_data", "select.select", "maps.maskcreate", "maps.localres"])
def test_jobs_that_compile_nothing_do_not_import_numba(program: str) -> None:
    """It is a third of a second at every start; one that is imported late obeys the threads all the same."""
    code = (f"import sys, cryosnake.running.run, cryosnake.programs.{program}\n"
            "from cryosnake.parallel.threads import thread_limit\n"
            "with thread_limit(1):\n    print('numba' in sys.modules)\n    import numba\n"
            "    print(numba.get_num_threads())")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "1"]
