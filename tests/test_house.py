"""The house's rules on shape (CONTRIBUTING.md), and that what is declared is imported; read from the sources."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "workflow" / "cryosnake"
KERNELS = PACKAGE / "numerics" / "refine" / "kernels"  # numba's and CUDA's versions of one signature
COMPILED = re.compile(r"jit|intrinsic|kernel")
MOST_ARGUMENTS, MOST_FIELDS, MOST_LINES = 7, 4, 400

# Distributions whose import has another name, and those that this machine need not have.
IMPORTED_AS = {"pyyaml": {"yaml"}, "cupy-cuda12x": {"cupy", "cupyx"}, "cupy-cuda13x": {"cupy", "cupyx"}}
# Snakemake finds these by itself.
NOT_IMPORTED = {"snakemake-executor-plugin-slurm", "snakemake-executor-plugin-cluster-generic"}


def trees(*folders: Path) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def declared() -> set[str]:
    """Return what the package asks for, its extras included, but not what its developers do."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = list(project["dependencies"])
    for extra, names in project["optional-dependencies"].items():
        named += names if extra != "dev" else []
    return {re.split(r"[<>=!~\[;@ ]", name)[0].lower() for name in named}


def imported() -> set[str]:
    found = set()
    for _, tree in trees(PACKAGE, ROOT / "scripts"):
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {name.partition(".")[0] for name in names}
    return found - sys.stdlib_module_names - {"cryosnake"}


def test_what_is_declared_is_what_is_imported() -> None:
    names = {name: IMPORTED_AS.get(name, {name.replace("-", "_")}) for name in declared()}
    found = imported()
    assert not found - set().union(*names.values()), "imported, but not declared in pyproject.toml"
    unused = {name for name, modules in names.items() if not modules & found}
    assert unused == NOT_IMPORTED & names.keys(), "declared in pyproject.toml, but not imported"


def test_functions_take_at_most_seven_arguments() -> None:
    """Kernels apart, whose arguments are arrays."""
    long = []
    for path, tree in trees(PACKAGE, ROOT / "scripts"):
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or path.is_relative_to(KERNELS):
                continue
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len(given) - (bool(given) and given[0].arg in ("self", "cls"))
            compiled = any(COMPILED.search(ast.unparse(d)) for d in node.decorator_list)
            if count > MOST_ARGUMENTS and not compiled:
                long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {count}")
    assert not long


def test_large_dataclasses_are_made_by_keywords() -> None:
    """Two fields of one type beside each other could be swapped unseen."""
    positional = []
    for path, tree in trees(PACKAGE, ROOT / "scripts"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                made = " ".join(ast.unparse(d) for d in node.decorator_list if "dataclass" in ast.unparse(d))
                lines = [ast.unparse(line.annotation) for line in node.body if isinstance(line, ast.AnnAssign)]
                fields = lines.index("KW_ONLY") if "KW_ONLY" in lines else len(lines)
                if made and fields > MOST_FIELDS and "kw_only=True" not in made:
                    positional.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {fields}")
    assert not positional


def test_no_file_above_400_lines() -> None:
    for path, _ in trees(PACKAGE, ROOT / "scripts", ROOT / "docs"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, path


def test_the_oldest_snakemake_is_the_same_in_snakefile_and_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = next(re.search(r">=([\d.]+)", name)[1] for name in project["dependencies"] if name.startswith("snakemake"))
    assert f'min_version("{oldest}")' in (ROOT / "Snakefile").read_text(encoding="utf-8")


def test_benchmarks_import_what_exists() -> None:
    """Nothing else runs them in every test run."""
    missing = []
    for path, tree in trees(ROOT / "benchmarks", ROOT / "docs", ROOT / "scripts"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cryosnake"):
                module = (node.module or "").replace(".", "/")
                missing += [f"{path.name}: {node.module}.{alias.name}" for alias in node.names
                            if not exists(ROOT / "workflow" / module, alias.name)]
    assert not missing


def exists(module: Path, name: str) -> bool:
    """Whether a module or package holds a name at its top level, or a module of that name."""
    if any((module / f"{name}{end}").exists() for end in (".py", "/__init__.py")):
        return True
    source = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    made = ast.walk(ast.parse(source.read_text(encoding="utf-8"))) if source.exists() else ()
    return any(name in (getattr(node, "name", ""), isinstance(node, ast.Name) and node.id) for node in made)
