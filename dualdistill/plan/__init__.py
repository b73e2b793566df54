"""What follows from the configuration: runs, tables, figures and the files that snakemake asks for."""
