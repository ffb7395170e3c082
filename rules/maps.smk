# Maps: mask, sharpening, local resolution.

for job in jobs_of("maskcreate"):

    rule:
        name:
            rule_name(job)
        input:
            map=slot(job, "map"),
            regenerated=regenerated(job),
        output:
            mask=out(job, "mask"),
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


for job in jobs_of("postprocess"):

    rule:
        name:
            rule_name(job)
        input:
            half_maps=slot(job, "half_maps"),
            mask=slot(job, "mask"),
            regenerated=regenerated(job),
        output:
            map=out(job, "map"),
            masked_map=out(job, "masked_map"),
            postprocess=out(job, "postprocess"),
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


for job in jobs_of("localres"):

    rule:
        name:
            rule_name(job)
        input:
            half_maps=slot(job, "half_maps"),
            mask=optional(job, "mask"),
            regenerated=regenerated(job),
        output:
            resolution=out(job, "resolution"),
            map=out(job, "map"),
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


for job in jobs_of("maptool"):

    rule:
        name:
            rule_name(job)
        input:
            map=optional(job, "map"),
            half_maps=optional(job, "half_maps"),
            mask=optional(job, "mask"),
            second=optional(job, "second"),
            regenerated=regenerated(job),
        output:
            map=out(job, "map"),
            half_maps=out(job, "half_maps"),
            half_map_2=out(job, "half_map_2"),
            mask=out(job, "mask"),
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
