# Import: which movies there are, in batches. It runs where snakemake runs, in a second.

for job in jobs_of("import"):

    rule:
        name:
            rule_name(job)
        output:
            f"{job.path}/batches/{{batch}}.star",
        log:
            f"{job.path}/batches/{{batch}}.log",
        benchmark:
            f"{job.path}/batches/{{batch}}.benchmark.tsv"
        localrule: True
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
