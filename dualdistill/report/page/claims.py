"""What stands above the claims on the page: the rule by which they are judged, in a few sentences."""

from __future__ import annotations

from dualdistill.plan import Plan
from dualdistill.report.page.grid import Heading

NAMES = {"says": "Claim"}
RULE = """\
The effect of a pair is the mean over seeds of what its first row scores above the second, seed by seed, in
points; its interval, from low to high, is Student's t on these differences, at {level}. A
claim has the effect of its weakest pair and an interval that holds the smallest effect of all its pairs: it
is supported where that lies above zero, contradicted where it lies below, and undecided otherwise, as with
one seed, which has no interval. The rule stands in config/claims.yaml, which says when it was fixed."""
PAIRS = "Every pair judged alone; a claim holds when it holds in all of its pairs."


def headings(plan: Plan) -> dict[str, Heading]:
    """By the name of the file; a claim's own name is left out, since its sentence says it."""
    rule = RULE.format(level=f"{100 * plan.claims.level:g}\N{NO-BREAK SPACE}%")
    return {
        "claims": Heading("What the runs say of the claims", NAMES, rule, ("claim",)),
        "claims_pairs": Heading(
            "The claims, pair by pair", NAMES | {"weakest_pair": "Pair"}, PAIRS, ("claim", "pairs")
        ),
    }
