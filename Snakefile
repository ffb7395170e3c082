# cryosnake: single-particle cryo-EM from movies to a sharpened map.
#
#     snakemake --cores 4                 run the project in this folder (its config.yaml)
#     snakemake --cores 4 -d my_project   run another one
#     snakemake -n                        show what would run, and why; changes nothing
#
# The rules are made from the project's jobs, so that graphs and messages show the names of the config.

import sys

sys.path.insert(0, f"{workflow.current_basedir}/workflow")

from snakemake.utils import min_version

from cryosnake.project.planning import rule_values
from cryosnake.project.run import session
from cryosnake.project.planning.memory import memory_mb
from cryosnake.project.planning.planned import Disposition, PlannedJob

min_version("9")  # as in pyproject.toml

session.read_config(workflow, config)

# Writes nothing. What a run does at its start and its end is added here too (not by `onstart:`, which a module has not)
plan = session.open_project(workflow, config)


include: "rules/common.smk"


rule all:
    input:
        rule_values.targets(plan),
    localrule: True


include: "rules/import.smk"
include: "rules/micrographs.smk"
include: "rules/picking.smk"
include: "rules/selection.smk"
include: "rules/classification.smk"
include: "rules/refinement.smk"
include: "rules/maps.smk"
include: "rules/other.smk"
include: "rules/join.smk"
include: "rules/pictures.smk"
