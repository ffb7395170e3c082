"""One call of Snakemake: the plan made real at its start, and the project put in order at its end."""
