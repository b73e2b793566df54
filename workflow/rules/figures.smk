# Drawing imports no torch and reads results only. Figures that need a network have a job that probes it once.
rule figures:
    input:
        FIGURES.files,


rule probe:
    input:
        data=FIGURES.probed_data,
        runs=FIGURES.probed_runs,
        source=FIGURES.probe_source,
    output:
        f"{JOBS.shown}/probes/{{figure}}.npz",
    log:
        f"{JOBS.shown}/logs/probe_{{figure}}.log",
    benchmark:
        f"{JOBS.shown}/benchmarks/probe_{{figure}}.jsonl"
    wildcard_constraints:
        figure=FIGURES.probed,
    threads: JOBS.plan.threads
    params:
        view=FIGURES.probe_sha,
    message:
        "Probe networks for figure {wildcards.figure}"
    shell:
        f"{SUITE} probe {{wildcards.figure}} {PLAN} > {{log}} 2>&1"


rule figure:
    input:
        results=FIGURES.inputs,
        reported="config/reported.csv",
        style=FIGURES.style,
        source=FIGURES.sources,
    output:
        pdf=f"{FIGURES.folder}/{{figure}}.pdf",
        svg=f"{FIGURES.folder}/{{figure}}.svg",
        png=report(
            f"{FIGURES.folder}/{{figure}}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{JOBS.shown}/logs/figure_{{figure}}.log",
    params:
        view=FIGURES.view_sha,
        title=FIGURES.title,
    message:
        "Draw {output.png}"
    shell:
        f"{SUITE} figure {{wildcards.figure}} {PLAN} > {{log}} 2>&1"
