# Subsets of particles or micrographs.

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
