# Micrographs to particle images: picking and extraction, batch by batch as in micrographs.smk.

for job in jobs_of("trainpicker"):

    rule:
        name:
            rule_name(job)
        input:
            coordinates=optional(job, "coordinates"),
            particles=optional(job, "particles"),
            regenerated=regenerated(job),
        output:
            picker=out(job, "picker"),
        log:
            f"{job.path}/snakemake.log",
        benchmark:
            f"{job.path}/benchmark.tsv"
        conda:
            environment(job)
        threads: cores(job)
        resources:
            mem_mb=memory(job),
            runtime=runtime(job),
            gpu=gpus(job),
        params:
            program=program(job),
            arguments=arguments(job),
        message:
            f"{job.name} ({job.path})"
        shell:
            "python {params.program} {params.arguments} --threads {threads} 2>&1 | tee {log}"


for job in jobs_of("manualpick"):

    rule:
        name:
            rule_name(job)
        input:
            micrographs=slot(job, "micrographs"),
            coordinates=optional(job, "coordinates"),
            regenerated=regenerated(job),
        output:
            coordinates=out(job, "coordinates"),
            suffix=out(job, "suffix"),
            micrographs=out(job, "micrographs"),
            picked=picked(job),
        log:
            f"{job.path}/snakemake.log",
        benchmark:
            f"{job.path}/benchmark.tsv"
        conda:
            "../envs/cpu.yaml"
        threads: cores(job)
        resources:
            mem_mb=memory(job),
            runtime=runtime(job),
        params:
            program=program(job),
            arguments=arguments(job),
        message:
            f"{job.name} ({job.path})"
        shell:
            "python {params.program} {params.arguments} --threads {threads} 2>&1 | tee {log}"


for job in jobs_of("autopick"):

    rule:
        name:
            rule_name(job)
        input:
            micrographs=slot(job, "micrographs"),
            reference=optional(job, "reference"),
            references=optional(job, "references"),
            picker=optional(job, "picker"),
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


for job in jobs_of("extract"):

    rule:
        name:
            rule_name(job)
        input:
            micrographs=slot(job, "micrographs"),
            coordinates=optional(job, "coordinates"),
            particles=optional(job, "particles"),
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
