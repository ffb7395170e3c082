"""The options of the job types, each a frozen dataclass: ImportOptions, MotionCorrOptions and so on.

They are made from the definitions. mypy reads options.pyi, which `make docs` writes.
"""

from cryosnake.jobs.registry import job_types


def __getattr__(name: str) -> type:
    for job_type in job_types().values():
        if name == f"{job_type.folder}Options":
            return job_type.options
    raise AttributeError(f"module {__name__} has no attribute {name}")
