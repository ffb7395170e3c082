# Jobs that work batch by batch: one Snakemake job per batch, whose output is the batch's STAR, and one that joins
# the batches into the job's own STAR. A later step starts on batch 1 while an earlier one is at batch 3.

for job in by_kind(per_micrograph=True):

    rule:
        name:
            rule_name(job)
        input:
            batch_inputs(job),
        output:
            f"{job.path}/batches/{{batch}}.star",
        log:
            f"{job.path}/batches/{{batch}}.log",
        wildcard_constraints:
            batch=r"\d\d\d\d+(\.(r|again)\d+)?",
        localrule: job.config.type.resources.local
        conda:
            "../envs/cpu.yaml"
        threads: job.config.type.resources.threads
        resources:
            mem_mb=memory(job),
            runtime=runtime(job),
            gpu=rule_values.gpus(plan, job),
        params:
            script=script(job),
            arguments=batch_arguments(job),
        message:
            f"{job.name} ({job.path}), batch {{wildcards.batch}}"
        shell:
            "python {params.script} {params.arguments} --threads {threads} 2>&1 | tee {log}"

    if job.disposition is Disposition.BATCHES_ONLY:
        continue

    rule:
        name:
            rule_name(job, "_join")
        input:
            rule_values.batch_stars(plan, job.path),
        output:
            job.files(),
        log:
            f"{job.path}/join.log",
        localrule: True
        conda:
            "../envs/cpu.yaml"
        params:
            script=script(job),
            arguments=rule_values.arguments(plan, job.path),
        message:
            f"{job.name} ({job.path}), all batches"
        shell:
            "python {params.script} --join {params.arguments} 2>&1 | tee {log}"
