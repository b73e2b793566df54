rule predict:
    input:
        data=JOBS.prediction_data,
        model=ancient("results/runs/{run}/model.safetensors"),
        record="results/runs/{run}/run.json",
    output:
        f"{JOBS.scored}/results_nusc.json",
    log:
        f"{JOBS.scored}/logs/predict.log",
    benchmark:
        f"{JOBS.scored}/benchmarks/predict.jsonl"
    wildcard_constraints:
        run=JOBS.with_boxes,
    threads: JOBS.prediction_threads
    resources:
        gpu=JOBS.prediction_devices,
    params:
        spec=JOBS.prediction_sha,
        name=JOBS.run_name,
    message:
        "Predict boxes with {params.name}"
    shell:
        f"{SUITE} predict {{wildcards.run}} {PLAN} > {{log}} 2>&1"


rule evaluate:
    input:
        data=JOBS.evaluation_data,
        boxes=f"{JOBS.scored}/results_nusc.json",
        record="results/runs/{run}/run.json",
    output:
        ours=report(
            f"{JOBS.scored}/metrics.json",
            caption="../report/scores.rst",
            category="Scores",
            labels={"run": "{run}"},
        ),
        official=f"{JOBS.scored}/metrics_summary.json",
        details=f"{JOBS.scored}/metrics_details.json",
        matches=f"{JOBS.scored}/matches.npz",
        draws=f"{JOBS.scored}/scene_draws.npz",
    log:
        f"{JOBS.scored}/logs/evaluate.log",
    benchmark:
        f"{JOBS.scored}/benchmarks/evaluate.jsonl"
    wildcard_constraints:
        run=JOBS.with_boxes,
    params:
        spec=JOBS.evaluation_sha,
        name=JOBS.run_name,
    message:
        "Score {params.name} with the official evaluation"
    shell:
        f"{SUITE} evaluate {{wildcards.run}} {PLAN} > {{log}} 2>&1"


rule table:
    input:
        scores=JOBS.scores,
        reported="config/reported.csv",
        source=JOBS.report_source,
    output:
        csv=report(
            f"{JOBS.shown}/{{table}}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "CSV"},
        ),
        markdown=report(
            f"{JOBS.shown}/{{table}}.md",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "Markdown"},
        ),
        latex=f"{JOBS.shown}/{{table}}.tex",
    log:
        f"{JOBS.shown}/logs/{{table}}.log",
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
        source=JOBS.report_source,
    output:
        csv=report(
            f"{JOBS.shown}/claims.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"verdicts": "by claim", "format": "CSV"},
        ),
        pairs=report(
            f"{JOBS.shown}/claims_pairs.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"verdicts": "by pair", "format": "CSV"},
        ),
        markdown=report(
            f"{JOBS.shown}/claims.md",
            caption="../report/claims.rst",
            category="Claims",
            labels={"verdicts": "by claim", "format": "Markdown"},
        ),
    log:
        f"{JOBS.shown}/logs/claims.log",
    params:
        view=JOBS.claims_sha,
    message:
        "Judge the claims"
    shell:
        f"{SUITE} claims {PLAN} > {{log}} 2>&1"
