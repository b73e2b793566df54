# Drawing imports no torch and reads results only; what needs a network is observed once, by a job of its own.
rule figures:
    input:
        FIGURES.files,


rule observe:
    input:
        data=FIGURES.observed_data,
        runs=FIGURES.observed_runs,
        source=FIGURES.observers,
    output:
        f"{JOBS.shown}/observed/{{figure}}.npz",
    log:
        f"{JOBS.shown}/logs/observe_{{figure}}.log",
    benchmark:
        f"{JOBS.shown}/benchmarks/observe_{{figure}}.jsonl"
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
    conda:
        "../../environment.yml"
    params:
        view=FIGURES.view_sha,
        title=FIGURES.title,
    message:
        "Draw {output.png}"
    shell:
        f"{SUITE} figure {{wildcards.figure}} {PLAN} > {{log}} 2>&1"
