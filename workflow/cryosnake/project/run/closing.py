"""What a successful run leaves behind: node markers and, in each job directory, the newest copy of the pipeline."""

from __future__ import annotations

from pathlib import Path

from cryosnake.pipeline.markers import back_up, write_node_markers
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.planning.planned import Plan


def close_success(plan: Plan) -> None:
    """Bring .Nodes and the backup copies of default_pipeline.star up to date."""
    write_node_markers(Path(), read_pipeline_unlocked())
    for job in plan.jobs.values():
        if Path(job.path).is_dir():
            back_up(Path(), job.path)
