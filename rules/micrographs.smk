# Movies to micrographs: motion correction, CTF estimation and curation, batch by batch: one Snakemake job per batch,
# whose output is the batch's STAR. A later step starts on batch 1 while an earlier one is at batch 3. rules/join.smk joins them.

for job in jobs_of("motioncorr"):

    rule:
        name:
            rule_name(job)
        input:
            movies=slot(job, "movies"),
            regenerated=regenerated(job),
        output:
            f"{job.path}/batches/{{batch}}.star",
        log:
            f"{job.path}/batches/{{batch}}.log",
        benchmark:
            f"{job.path}/batches/{{batch}}.benchmark.tsv"
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


for job in jobs_of("ctffind"):

    rule:
        name:
            rule_name(job)
        input:
            micrographs=slot(job, "micrographs"),
            regenerated=regenerated(job),
        output:
            f"{job.path}/batches/{{batch}}.star",
        log:
            f"{job.path}/batches/{{batch}}.log",
        benchmark:
            f"{job.path}/batches/{{batch}}.benchmark.tsv"
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


for job in jobs_of("curate"):

    rule:
        name:
            rule_name(job)
        input:
            micrographs=slot(job, "micrographs"),
            regenerated=regenerated(job),
        output:
            f"{job.path}/batches/{{batch}}.star",
        log:
            f"{job.path}/batches/{{batch}}.log",
        benchmark:
            f"{job.path}/batches/{{batch}}.benchmark.tsv"
        conda:
            "../envs/cpu.yaml"
        threads: cores(job)
        resources:
            mem_mb=memory(job),
            runtime=runtime(job),
        params:
            program=program(job),
            arguments=batch_arguments(job),
        message:
            f"{job.name} ({job.path}), batch {{wildcards.batch}}"
        shell:
            "python {params.program} {params.arguments} --threads {threads} 2>&1 | tee {log}"
