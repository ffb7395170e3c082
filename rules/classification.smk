# Particles to classes, in two and three dimensions. The programs run on as many MPI ranks as the job asks for.

for job in jobs_of("class2d"):

    rule:
        name:
            rule_name(job)
        input:
            particles=slot(job, "particles"),
            regenerated=regenerated(job),
        output:
            particles=out(job, "particles"),
            model=out(job, "model"),
            optimiser=out(job, "optimiser"),
            references=out(job, "references"),
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


for job in jobs_of("class3d"):

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
            optimiser=out(job, "optimiser"),
            classes=out(job, "class{number}"),
            model=out(job, "model"),
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
