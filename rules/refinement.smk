# Particles to maps: a first map from particles alone, and the refinement of one. On MPI ranks, as in classification.smk.

for job in jobs_of("initialmodel"):

    rule:
        name:
            rule_name(job)
        input:
            particles=slot(job, "particles"),
            regenerated=regenerated(job),
        output:
            map=out(job, "map"),
            particles=out(job, "particles"),
            model=out(job, "model"),
            optimiser=out(job, "optimiser"),
        log:
            f"{job.path}/snakemake.log",
        benchmark:
            f"{job.path}/benchmark.tsv"
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


for job in jobs_of("refine3d"):

    rule:
        name:
            rule_name(job)
        input:
            particles=slot(job, "particles"),
            reference=slot(job, "reference"),
            mask=optional(job, "mask"),
            regenerated=regenerated(job),
        output:
            particles=out(job, "particles"),
            half_maps=out(job, "half_maps"),
            half_map_2=out(job, "half_map_2"),
            map=out(job, "map"),
            optimiser=out(job, "optimiser"),
        log:
            f"{job.path}/snakemake.log",
        benchmark:
            f"{job.path}/benchmark.tsv"
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


for job in jobs_of("ctfrefine"):

    rule:
        name:
            rule_name(job)
        input:
            particles=slot(job, "particles"),
            postprocess=slot(job, "postprocess"),
            regenerated=regenerated(job),
        output:
            particles=out(job, "particles"),
        log:
            f"{job.path}/snakemake.log",
        benchmark:
            f"{job.path}/benchmark.tsv"
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


for job in jobs_of("polish"):

    rule:
        name:
            rule_name(job)
        input:
            micrographs=slot(job, "micrographs"),
            particles=slot(job, "particles"),
            postprocess=slot(job, "postprocess"),
            regenerated=regenerated(job),
        output:
            particles=out(job, "particles"),
        log:
            f"{job.path}/snakemake.log",
        benchmark:
            f"{job.path}/benchmark.tsv"
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


for job in jobs_of("subtract"):

    rule:
        name:
            rule_name(job)
        input:
            optimiser=optional(job, "optimiser"),
            mask=optional(job, "mask"),
            particles=optional(job, "particles"),
            revert=optional(job, "revert"),
            regenerated=regenerated(job),
        output:
            particles=out(job, "particles"),
            original=out(job, "original"),
        log:
            f"{job.path}/snakemake.log",
        benchmark:
            f"{job.path}/benchmark.tsv"
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
