# The batches of each job that works per micrograph are joined into its table.

for job in joined_jobs():

    rule:
        name:
            rule_name(job, "_join")
        input:
            batches(job.path),
        output:
            **outputs(job),
        log:
            f"{job.path}/join.log",
        localrule: True
        conda:
            "../envs/cpu.yaml"
        params:
            program=program(job),
            arguments=arguments(job),
        message:
            f"{job.name} ({job.path}), all batches"
        shell:
            "python {params.program} --join {params.arguments} 2>&1 | tee {log}"
