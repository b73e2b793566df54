# Drawing imports no torch and reads results only; what needs a network is observed once, by a job of its own.
rule figures:
    input:
        FIGURES.files,


rule observe:
    input:
        data=FIGURES.observed_data,
        runs=FIGURES.observed_runs,
        source="dualdistill/report/figures/observe.py",
    output:
        "results/observed/{figure}.npz",
    log:
        "results/logs/observe_{figure}.log",
    benchmark:
        "results/benchmarks/observe_{figure}.jsonl"
    wildcard_constraints:
        figure=FIGURES.observed,
    conda:
        "../../environment.yml"
    threads: JOBS.plan.threads
    resources:
        gpu=JOBS.plan.gpus,
    params:
        view=FIGURES.observation_sha,
    message:
        "Observe networks for figure {wildcards.figure}"
    shell:
        f"{SUITE} observe {{wildcards.figure}} {PLAN} > {{log}} 2>&1"


rule figure:
    input:
        results=FIGURES.inputs,
        reported="config/reported.csv",
        style=FIGURES.style,
        source=FIGURES.sources,
    output:
        pdf="figures/{figure}.pdf",
        svg="figures/{figure}.svg",
        png=report(
            "figures/{figure}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/logs/figure_{figure}.log",
    conda:
        "../../environment.yml"
    params:
        view=FIGURES.view_sha,
        title=FIGURES.title,
    message:
        "Draw {output.png}"
    shell:
        f"{SUITE} figure {{wildcards.figure}} {PLAN} > {{log}} 2>&1"
