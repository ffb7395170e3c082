"""`cryosnake import-schedule`: a RELION schedule or scheme as config.yaml."""

from __future__ import annotations

from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError
from cryosnake.project.schemes.convert import config_text, import_schemes


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    schedule = add_command(commands, "import-schedule", _import,
                           help="write the config.yaml of a RELION schedule or scheme")
    schedule.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="such as Schemes/prep; several "
                          "are combined")
    schedule.add_argument("--out", type=Path, default=Path("config.yaml"), metavar="FILE", help="default config.yaml")


def _import(arguments: Arguments) -> None:
    if arguments.out.exists():
        raise CryosnakeError(f"{arguments.out} exists; choose another file with --out, or move it away")
    imported = import_schemes(arguments.folders)
    arguments.out.write_text(config_text(imported))
    print("\n".join(f"not imported: {note}" for note in imported.notes), end="\n" if imported.notes else "")
    print(f"{arguments.out}: {len(imported.config['jobs'])} jobs; check it, then run `{imported.watch}`")
