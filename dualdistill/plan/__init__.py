"""Planning: derives runs, tables, figures and snakemake's files from the configuration."""
