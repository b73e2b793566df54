# The plan is made and checked before any job: an error anywhere under config/ is reported here, in one sentence.
import shlex
import sys

from dualdistill.errors import UserError
from dualdistill.launch import gpus
from dualdistill.plan import plan
from dualdistill.plan.snakemake_inputs import FigureJobs, Jobs
from snakemake.cli import get_argument_parser

try:
    if workflow.deployment_settings.deployment_method:
        what = "every job runs in snakemake's own environment"
        where = "--software-deployment-method"
        raise UserError(what, where=where, hint="leave it out")
    JOBS = Jobs(plan.load(overrides=config))
    FIGURES = FigureJobs(JOBS)
    if workflow.is_main_process:  # not again in the jobs that it starts
        targets = get_argument_parser().parse_known_args(sys.argv[1:])[0].targets
        JOBS.check_targets(targets)
        JOBS.check_root(targets)
        JOBS.check_taken(targets)
        JOBS.check_imports(targets)
        JOBS.check_starts(targets)
        # jobs take GPUs of this machine by themselves (dualdistill/launch/); snakemake counts them, so that as many jobs
        # run as there are GPUs. A cluster, of which snakemake uses a number of nodes, counts its own.
        GPUS = len(gpus.pool()) if workflow.nodes is None else 0
        if GPUS and "gpu" not in workflow.global_resources:
            workflow.register_resource("gpu", GPUS)
        JOBS.check_devices(targets, GPUS)
        JOBS.check_masks(targets)
        FIGURES.check_targets(targets)
        for note in FIGURES.notes(targets):
            print(note, file=sys.stderr)
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)

# The interpreter of this process: `python` in a shell command would be the first on PATH.
SUITE = f"{shlex.quote(sys.executable)} -m dualdistill"
# Braces are doubled because snakemake formats shell commands, and a setting may be a mapping.
PLAN = JOBS.plan.arguments.replace("{", "{{").replace("}", "}}")


wildcard_constraints:
    data=JOBS.data_ids,
    run=JOBS.runs,
    table=JOBS.tables,
    figure=FIGURES.figures,
