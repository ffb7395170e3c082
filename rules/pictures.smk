# Pictures of results, for `snakemake --report`. Nothing waits for them. Where one cannot be drawn, nothing stops, and
# another in its place says why. `pictures: false` in config.yaml leaves them out.


report: "../report/workflow.rst"


for job in drawn_jobs():

    rule:
        name:
            rule_name(job, "_pictures")
        input:
            job.files(),
        output:
            [in_report(job, picture) for picture in pictures(job)],
        log:
            f"{job.path}/pictures.log",
        priority: -1
        localrule: True
        conda:
            "../envs/cpu.yaml"
        params:
            script=script(job),
            arguments=arguments(job),
        message:
            f"{job.name} ({job.path}), pictures"
        shell:
            "python {params.script} --draw {params.arguments} 2>&1 | tee {log}"
