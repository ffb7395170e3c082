# Jobs that take their whole input at once: classification, refinement, masks, maps.

for job in by_kind(per_micrograph=False):

    rule:
        name:
            rule_name(job)
        input:
            whole_inputs(job),
        output:
            job.files(),
        log:
            f"{job.path}/snakemake.log",
        localrule: job.config.type.resources.local
        conda:
            "../envs/cpu.yaml"
        threads: rule_values.threads(job)
        resources:
            **rule_values.mpi_resources(plan, job),
            mem_mb=memory(job),
            runtime=runtime(job),
            gpu=rule_values.gpus(plan, job),
        params:
            script=script(job),
            arguments=rule_values.arguments(plan, job.path),
            threads=rule_values.threads_of_rank(job),
        message:
            f"{job.name} ({job.path})"
        shell:
            "python {params.script} {params.arguments} --threads {params.threads} 2>&1 | tee {log}"
