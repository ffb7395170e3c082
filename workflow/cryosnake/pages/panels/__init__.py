"""What a page shows of a job, by its type: a function of the job for each panel."""
