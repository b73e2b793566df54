# The plan is made and checked before any job: an error anywhere under config/ is reported here, in one sentence.
import shlex
import sys

from dualdistill.errors import UserError
from dualdistill.plan import plan
from dualdistill.plan.snakemake_inputs import FigureJobs, Jobs
from snakemake.cli import get_argument_parser

try:
    if workflow.deployment_settings.deployment_method:
        what = "every job runs in snakemake's own environment"
        where = "--software-deployment-method"
        raise UserError(what, where=where, hint="leave it out")
    JOBS = Jobs(plan.load(overrides=config))
    JOBS.plan.check_root()
    FIGURES = FigureJobs(JOBS)
    if workflow.is_main_process:  # not again in the jobs that it starts
        targets = get_argument_parser().parse_known_args(sys.argv[1:])[0].targets
        JOBS.check_targets(targets)
        JOBS.check_imports(targets)
        JOBS.check_starts(targets)
        JOBS.check_devices(targets)
        JOBS.check_masks(targets)
        FIGURES.check_targets(targets)
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)

# The interpreter of this process: `python` in a shell command would be the first on PATH.
SUITE = f"{shlex.quote(sys.executable)} -m dualdistill"
# A profile with several gpus trains every run on all of them, in a process each.
SHARED = f"-m torch.distributed.run --standalone --nproc-per-node {JOBS.plan.gpus} -m dualdistill"
TRAIN = f"{shlex.quote(sys.executable)} {SHARED}" if JOBS.plan.gpus > 1 else SUITE
# Braces are doubled because snakemake formats shell commands, and a setting may be a mapping.
PLAN = JOBS.plan.arguments.replace("{", "{{").replace("}", "}}")


wildcard_constraints:
    data=JOBS.data_ids,
    run=JOBS.runs,
    table=JOBS.tables,
    figure=FIGURES.figures,
