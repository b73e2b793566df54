# All trainings use the same rule under four names: pre-trainings, from which students start, teachers, label encoders,
# which need their teacher, and students. Inputs that a run does not need are left out.
# Runs that others wait for have priority, so that long trainings do not end up last and alone; pre-trainings before
# teachers, since they are short and every student waits for one.
# `name` is for the message alone and never a reason to train again, see Jobs.run_name.
# Checkpoints lie in the run's state/, which no rule declares: snakemake deletes declared outputs when a job fails.
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
    threads: JOBS.training_threads
    resources:
        gpu=JOBS.training_devices,
    params:
        spec=JOBS.spec_sha,
        name=JOBS.run_name,
    message:
        "Train {params.name}"
    shell:
        f"{SUITE} train {{wildcards.run}} {PLAN} > {{log}} 2>&1"


use rule train as train_teacher with:
    wildcard_constraints:
        run=JOBS.teachers,
    priority: 1
    message:
        "Train the teacher {params.name}"


use rule train as train_label_encoder with:
    wildcard_constraints:
        run=JOBS.label_encoders,
    priority: 1
    message:
        "Train the label encoder {params.name}"


use rule train as pretrain with:
    wildcard_constraints:
        run=JOBS.pretrainings,
    priority: 2
    message:
        "Pre-train {params.name}"
