# The suite, and the place for rules of your own:
#
#     use rule train from suite as train_longer with:
#         output: ...
#         log: ...
#         benchmark: ...
#
# A rule taken over this way inherits log and benchmark: name all three anew. An ablation needs no rule at all, see
# docs/add-an-ablation.md.
module suite:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from suite
