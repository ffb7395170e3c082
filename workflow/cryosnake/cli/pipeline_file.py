"""`cryosnake rebuild-pipeline` and `restore-pipeline`: default_pipeline.star itself."""

from __future__ import annotations

import sys
from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.backups import backups, restore
from cryosnake.pipeline.lock import rebuild_pipeline
from cryosnake.pipeline.markers import BACKUP_FILE, alias_obstacle, make_alias_link, write_node_markers


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    add_command(commands, "rebuild-pipeline", _rebuild,
                help="write default_pipeline.star again from the job directories")
    parser = add_command(commands, "restore-pipeline", _restore,
                         help="list the copies of default_pipeline.star, or restore one")
    parser.add_argument("copy", nargs="?", default="", metavar="COPY", help="a file from the list, or its job "
                        "directory; none: list them")


def _rebuild(_: Arguments) -> None:
    warnings: list[str] = []
    pipeline = rebuild_pipeline(Path(), warnings)
    write_node_markers(Path(), pipeline)
    print("\n".join(warnings), file=sys.stderr, end="\n" if warnings else "")
    print(f"{PIPELINE_FILE}: {len(pipeline.processes)} jobs, {len(pipeline.nodes)} nodes")


def _restore(arguments: Arguments) -> None:
    if not arguments.copy:
        found = backups(Path())
        print("\n".join(map(str, found)) or "no job directory contains a copy of the pipeline file; "
              "`cryosnake rebuild-pipeline` makes it from the job directories")
        return
    path = Path(arguments.copy)
    pipeline, notes = restore(Path(), str(path / BACKUP_FILE if path.is_dir() else path))
    for process in pipeline.processes.values():
        obstacle = alias_obstacle(Path(), process.alias, process.name) if process.alias else ""
        if obstacle:
            notes.append(obstacle)
        else:
            make_alias_link(Path(), process)
    write_node_markers(Path(), pipeline)
    print("\n".join(notes), file=sys.stderr, end="\n" if notes else "")
    print(f"{PIPELINE_FILE}: {len(pipeline.processes)} jobs, {len(pipeline.nodes)} nodes, from {path}")
