# Everything trains by the same command: teachers and backbones first, then label encoders, which need their teacher,
# then students, which need all that their rows ask for.
# What others wait for comes first (priority), so that the long trainings do not end up last and alone.
# Checkpoints lie in the run's state/, which no rule declares: snakemake deletes what is declared when a job fails.
rule train_teacher:
    input:
        data=JOBS.training_data,
        start=JOBS.pretraining,
    output:
        model="results/runs/{run}/model.safetensors",
        history="results/runs/{run}/history.jsonl",
        record="results/runs/{run}/run.json",
    log:
        "results/runs/{run}/logs/train.log",
    benchmark:
        "results/runs/{run}/benchmarks/train.jsonl"
    wildcard_constraints:
        run=JOBS.teachers,
    priority: 1
    conda:
        "../../environment.yml"
    threads: JOBS.plan.threads
    resources:
        gpu=JOBS.plan.gpus,
    params:
        spec=JOBS.spec_sha,
    message:
        "Train the teacher {wildcards.run}"
    shell:
        f"{SUITE} train {{wildcards.run}} {PLAN} > {{log}} 2>&1"


rule train_label_encoder:
    input:
        data=JOBS.training_data,
        teacher=JOBS.teacher,
    output:
        model="results/runs/{run}/model.safetensors",
        history="results/runs/{run}/history.jsonl",
        record="results/runs/{run}/run.json",
    log:
        "results/runs/{run}/logs/train.log",
    benchmark:
        "results/runs/{run}/benchmarks/train.jsonl"
    wildcard_constraints:
        run=JOBS.label_encoders,
    priority: 1
    conda:
        "../../environment.yml"
    threads: JOBS.plan.threads
    resources:
        gpu=JOBS.plan.gpus,
    params:
        spec=JOBS.spec_sha,
    message:
        "Train the label encoder {wildcards.run}"
    shell:
        f"{SUITE} train {{wildcards.run}} {PLAN} > {{log}} 2>&1"


rule pretrain:
    input:
        data=JOBS.training_data,
        start=JOBS.pretraining,
    output:
        model="results/runs/{run}/model.safetensors",
        history="results/runs/{run}/history.jsonl",
        record="results/runs/{run}/run.json",
    log:
        "results/runs/{run}/logs/train.log",
    benchmark:
        "results/runs/{run}/benchmarks/train.jsonl"
    wildcard_constraints:
        run=JOBS.pretrainings,
    priority: 1
    conda:
        "../../environment.yml"
    threads: JOBS.plan.threads
    resources:
        gpu=JOBS.plan.gpus,
    params:
        spec=JOBS.spec_sha,
    message:
        "Pre-train {wildcards.run}"
    shell:
        f"{SUITE} train {{wildcards.run}} {PLAN} > {{log}} 2>&1"


rule train:
    input:
        data=JOBS.training_data,
        teacher=JOBS.teacher,
        labels=JOBS.label_encoder,
        start=JOBS.pretraining,
    output:
        model="results/runs/{run}/model.safetensors",
        history="results/runs/{run}/history.jsonl",
        record="results/runs/{run}/run.json",
    log:
        "results/runs/{run}/logs/train.log",
    benchmark:
        "results/runs/{run}/benchmarks/train.jsonl"
    wildcard_constraints:
        run=JOBS.students,
    conda:
        "../../environment.yml"
    threads: JOBS.plan.threads
    resources:
        gpu=JOBS.plan.gpus,
    params:
        spec=JOBS.spec_sha,
    message:
        "Train the student {wildcards.run}"
    shell:
        f"{SUITE} train {{wildcards.run}} {PLAN} > {{log}} 2>&1"
