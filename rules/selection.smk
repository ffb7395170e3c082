# Subsets of particles or micrographs, and joins of movies, micrographs or particles.

for job in jobs_of("select"):

    rule:
        name:
            rule_name(job)
        input:
            particles=optional(job, "particles"),
            micrographs=optional(job, "micrographs"),
            model=optional(job, "model"),
            regenerated=regenerated(job),
        output:
            particles=out(job, "particles"),
            micrographs=out(job, "micrographs"),
            class_averages=out(job, "class_averages"),
            rejected=out(job, "rejected"),
            split1=out(job, "split1"),
            split2=out(job, "split2"),
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


for job in jobs_of("joinstar"):

    rule:
        name:
            rule_name(job)
        input:
            particles1=optional(job, "particles1"),
            particles2=optional(job, "particles2"),
            particles3=optional(job, "particles3"),
            particles4=optional(job, "particles4"),
            micrographs1=optional(job, "micrographs1"),
            micrographs2=optional(job, "micrographs2"),
            micrographs3=optional(job, "micrographs3"),
            micrographs4=optional(job, "micrographs4"),
            movies1=optional(job, "movies1"),
            movies2=optional(job, "movies2"),
            movies3=optional(job, "movies3"),
            movies4=optional(job, "movies4"),
            regenerated=regenerated(job),
        output:
            particles=out(job, "particles"),
            micrographs=out(job, "micrographs"),
            movies=out(job, "movies"),
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
