# The plan, made and checked before any job: a fault anywhere under config/ ends here, as one sentence.
import shlex
import sys

from dualdistill.plan import plan
from dualdistill.errors import UserError
from dualdistill.plan.snakemake_inputs import FigureJobs, Jobs

try:
    if workflow.deployment_settings.deployment_method:
        what = "every job runs in snakemake's own environment"
        where = "--software-deployment-method"
        raise UserError(what, where=where, hint="leave it away")
    JOBS = Jobs(plan.load(overrides=config))
    JOBS.plan.check_root()
    JOBS.plan.check_starts()
    JOBS.check_targets(sys.argv[1:])
    JOBS.check_masks(sys.argv[1:])
    FIGURES = FigureJobs(JOBS)
    FIGURES.check_targets(sys.argv[1:])
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)

# The interpreter of this very process: `python` in a shell command would be whatever PATH says.
# So `conda:` in a rule only tells --lint and a reader what the rule needs.
SUITE = f"{shlex.quote(sys.executable)} -m dualdistill"
# Braces double: snakemake formats a shell command, and settings may hold a mapping.
PLAN = JOBS.plan.arguments.replace("{", "{{").replace("}", "}}")


wildcard_constraints:
    data=JOBS.data_ids,
    run=JOBS.runs,
    table=JOBS.tables,
    figure=FIGURES.figures,
