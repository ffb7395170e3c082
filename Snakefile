# cryosnake: single-particle cryo-EM from movies to a sharpened map.
#
#     snakemake --cores 4                 run the project in this folder (its config.yaml)
#     snakemake --cores 4 -d my_project   run another one
#     snakemake -n                        show what would run, and why; changes nothing
#
# The rules are made from the project's jobs, so that graphs and messages show the names of the config.

import sys

sys.path.insert(0, f"{workflow.current_basedir}/workflow")

from cryosnake.project.planning import rule_values
from cryosnake.project.run import session
from cryosnake.project.planning.memory import memory_mb
from cryosnake.project.planning.planned import Disposition

session.read_config(workflow, config)

plan = session.open_project(workflow, config)


onstart:
    session.start(workflow, plan)


onsuccess:
    session.succeed(plan)


onerror:
    session.fail(plan)


include: "rules/common.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        rule_values.targets(plan),


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
