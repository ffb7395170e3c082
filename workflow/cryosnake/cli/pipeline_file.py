"""`cryosnake rebuild-pipeline`: default_pipeline.star itself."""

from __future__ import annotations

import sys
from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    rebuild = commands.add_parser("rebuild-pipeline", help="write default_pipeline.star again from the job directories")
    rebuild.set_defaults(function=_rebuild)


def _rebuild(_: Arguments) -> None:
    from cryosnake.pipeline.files import PIPELINE_FILE
    from cryosnake.pipeline.lock import rebuild_pipeline
    from cryosnake.pipeline.markers import write_node_markers

    warnings: list[str] = []
    pipeline = rebuild_pipeline(Path(), warnings)
    write_node_markers(Path(), pipeline)
    print("\n".join(warnings), file=sys.stderr, end="\n" if warnings else "")
    print(f"{PIPELINE_FILE}: {len(pipeline.processes)} jobs, {len(pipeline.nodes)} nodes")
