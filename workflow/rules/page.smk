# One file to send to a colleague. It is cheap, so its source is an input: an edited template makes a new page.
rule page:
    input:
        tables=JOBS.views,
        figures=FIGURES.files,
        records=JOBS.page_records,
        source=JOBS.page_source,
    output:
        report(
            f"{JOBS.shown}/index.html",
            caption="../report/page.rst",
            category="Page",
            labels={"page": "everything on one page"},
        ),
    log:
        f"{JOBS.shown}/logs/page.log",
    params:
        view=JOBS.page_sha,
    message:
        "Write {output}"
    shell:
        f"{SUITE} page {PLAN} {{input.figures}} > {{log}} 2>&1"
