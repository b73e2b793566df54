rule predict:
    input:
        data=JOBS.prediction_data,
        model=ancient("results/runs/{run}/model.safetensors"),
        record="results/runs/{run}/run.json",
    output:
        "results/runs/{run}/results_nusc.json",
    log:
        "results/runs/{run}/logs/predict.log",
    benchmark:
        "results/runs/{run}/benchmarks/predict.jsonl"
    wildcard_constraints:
        run=JOBS.detectors,
    conda:
        "../../environment.yml"
    threads: JOBS.plan.threads
    resources:
        gpu=JOBS.plan.gpus,
    params:
        spec=JOBS.prediction_sha,
    message:
        "Predict boxes with {wildcards.run}"
    shell:
        f"{SUITE} predict {{wildcards.run}} {PLAN} > {{log}} 2>&1"


rule evaluate:
    input:
        data=JOBS.evaluation_data,
        boxes="results/runs/{run}/results_nusc.json",
        record="results/runs/{run}/run.json",
    output:
        ours=report(
            "results/runs/{run}/metrics.json",
            caption="../report/scores.rst",
            category="Scores",
            labels={"run": "{run}"},
        ),
        official="results/runs/{run}/metrics_summary.json",
        details="results/runs/{run}/metrics_details.json",
    log:
        "results/runs/{run}/logs/evaluate.log",
    benchmark:
        "results/runs/{run}/benchmarks/evaluate.jsonl"
    wildcard_constraints:
        run=JOBS.detectors,
    conda:
        "../../environment.yml"
    params:
        spec=JOBS.evaluation_sha,
    message:
        "Score {wildcards.run} with the official evaluation"
    shell:
        f"{SUITE} evaluate {{wildcards.run}} {PLAN} > {{log}} 2>&1"


rule table:
    input:
        scores=JOBS.scores,
        reported="config/reported.csv",
        source="dualdistill/report/tables.py",
    output:
        csv=report(
            "results/{table}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "CSV"},
        ),
        markdown=report(
            "results/{table}.md",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "Markdown"},
        ),
        latex="results/{table}.tex",
    log:
        "results/logs/{table}.log",
    conda:
        "../../environment.yml"
    params:
        view=JOBS.table_sha,
        title=JOBS.table_title,
    message:
        "Write {output.csv}"
    shell:
        f"{SUITE} table {{wildcards.table}} {PLAN} > {{log}} 2>&1"


rule claims:
    input:
        scores=JOBS.compared,
        reported="config/reported.csv",
        source="dualdistill/report/claims.py",
    output:
        csv="results/claims.csv",
        pairs="results/claims_pairs.csv",
        markdown="results/claims.md",
    log:
        "results/logs/claims.log",
    conda:
        "../../environment.yml"
    params:
        view=JOBS.claims_sha,
    message:
        "Judge the claims"
    shell:
        f"{SUITE} claims {PLAN} > {{log}} 2>&1"
