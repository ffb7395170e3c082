# External programs, and job types that other packages add: one form for all. Their slots and outputs are those of their
# definitions, or of the config.

OTHERS = other_jobs()

for job in [job for job in OTHERS if not job.config.type.per_micrograph]:

    rule:
        name:
            rule_name(job)
        input:
            **{name: slot(job, name) for name in job.inputs},
            regenerated=regenerated(job),
        output:
            job.files(),
        log:
            f"{job.path}/snakemake.log",
        benchmark:
            f"{job.path}/benchmark.tsv"
        localrule: job.config.type.resources.local
        conda:
            environment(job)
        threads: cores(job)
        resources:
            **mpi_resources(job),
            mem_mb=memory(job),
            runtime=runtime(job),
            gpu=gpus(job),
        params:
            program=program(job),
            arguments=arguments(job),
            threads=threads_of_rank(job),
        message:
            f"{job.name} ({job.path})"
        shell:
            "python {params.program} {params.arguments} --threads {params.threads} 2>&1 | tee {log}"


for job in [job for job in OTHERS if job.config.type.per_micrograph]:

    rule:
        name:
            rule_name(job)
        input:
            **{name: slot(job, name) for name in job.inputs},
            regenerated=regenerated(job),
        output:
            f"{job.path}/batches/{{batch}}.star",
        log:
            f"{job.path}/batches/{{batch}}.log",
        benchmark:
            f"{job.path}/batches/{{batch}}.benchmark.tsv"
        localrule: job.config.type.resources.local
        conda:
            environment(job)
        threads: cores(job)
        resources:
            mem_mb=memory(job),
            runtime=runtime(job),
            gpu=gpus(job),
        params:
            program=program(job),
            arguments=batch_arguments(job),
        message:
            f"{job.name} ({job.path}), batch {{wildcards.batch}}"
        shell:
            "python {params.program} {params.arguments} --threads {threads} 2>&1 | tee {log}"
