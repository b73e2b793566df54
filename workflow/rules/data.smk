rule world:
    output:
        "results/data/{data}/root/world.json",
    log:
        "results/data/{data}/logs/world.log",
    benchmark:
        "results/data/{data}/benchmarks/world.jsonl"
    wildcard_constraints:
        data=JOBS.world_ids,
    threads: JOBS.plan.settings.workers
    message:
        "Render the synthetic world"
    shell:
        f"{SUITE} world {PLAN} > {{log}} 2>&1"


rule index_data:
    input:
        JOBS.tables_of_root,
    output:
        "results/data/{data}/index.npz",
    log:
        "results/data/{data}/logs/index.log",
    benchmark:
        "results/data/{data}/benchmarks/index.jsonl"
    message:
        "Read the tables of the data set"
    shell:
        f"{SUITE} index {PLAN} > {{log}} 2>&1"


rule cache:
    input:
        "results/data/{data}/index.npz",
    output:
        "results/data/{data}/cache/cache.json",
    log:
        "results/data/{data}/logs/cache.log",
    benchmark:
        "results/data/{data}/benchmarks/cache.jsonl"
    wildcard_constraints:
        data=JOBS.cached_ids,
    message:
        "Decode images and points"
    shell:
        f"{SUITE} cache {PLAN} > {{log}} 2>&1"


rule images:
    input:
        "results/data/{data}/index.npz",
    output:
        "results/data/{data}/{images}/images.json",
    log:
        "results/data/{data}/logs/{images}.log",
    benchmark:
        "results/data/{data}/benchmarks/{images}.jsonl"
    wildcard_constraints:
        images=JOBS.images_ids,
    threads: JOBS.plan.settings.workers
    message:
        "Resize the images ({wildcards.images})"
    shell:
        f"{SUITE} images {{wildcards.images}} {PLAN} > {{log}} 2>&1"


rule virtual:
    input:
        "results/data/{data}/index.npz",
    output:
        "results/data/{data}/{points}/virtual.json",
    log:
        "results/data/{data}/logs/{points}.log",
    benchmark:
        "results/data/{data}/benchmarks/{points}.jsonl"
    wildcard_constraints:
        points=JOBS.virtual_ids,
    priority: 3  # a teacher waits for it; after trainings, which leave no core free, it would come last
    threads: JOBS.plan.settings.workers
    message:
        "Add virtual points to the clouds ({wildcards.points})"
    shell:
        f"{SUITE} virtual {{wildcards.points}} {PLAN} > {{log}} 2>&1"


rule objects:
    input:
        JOBS.objects_data,
    output:
        "results/data/{data}/{objects}/objects.json",
    log:
        "results/data/{data}/logs/{objects}.log",
    benchmark:
        "results/data/{data}/benchmarks/{objects}.jsonl"
    wildcard_constraints:
        objects=JOBS.objects_ids,
    priority: 2  # a teacher waits for it
    threads: JOBS.plan.settings.workers
    message:
        "Cut objects to paste out of the training frames ({wildcards.objects})"
    shell:
        f"{SUITE} objects {{wildcards.objects}} {PLAN} > {{log}} 2>&1"
