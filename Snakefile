"""Reactivation: what happens to the empirical Neural Tangent Kernel when the task changes.

Targets: all (the default: every figure, every run's metrics and the report's pages), figures, and each figure by name, such as fig4; budget
(what all that takes) and prune (what no study needs any more).
"""

import sys

from snakemake.utils import min_version

min_version("9.27")

# The library lies beside the scripts; rule files plan with it, scripts compute with it.
sys.path.insert(0, f"{workflow.basedir}/workflow/scripts")


# Snakemake merges config files key by key: the quickstart's experiments would stay in another study.
if not workflow.config_settings.configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/plan.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/ntk.smk"
include: "workflow/rules/function.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/convergence.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/tools.smk"
include: "workflow/rules/cluster.smk"


# In the process that a user calls only, as Snakemake calls itself with --no-hooks; nor in dry runs.
onstart:
    refuse_what_slurm_would()
    if not (workflow.touch or set(TOOLS) & set(sys.argv)):
        from reactivation.jobs import watch  # here: it costs no other call anything

        watch.start(workflow)


rule all:
    default_target: True
    input:
        expand("results/{study}/runs/{run}.csv", study=STUDY.study, run=PLAN.runs),
        [figure_files(name) for name in PLAN.figures],
        rules.switches.output,
        rules.claims.output,
        expand("results/{study}/{page}", study=STUDY.study, page=["explore.html", "config.yaml", "config.html"]),
        expand("results/{study}/tables/{table}.html", study=STUDY.study, table=TABLES),


rule figures:
    input:
        [figure_files(name) for name in PLAN.figures],


for figure_name in PLAN.figures:

    rule:
        name:
            figure_name
        input:
            figure_files(figure_name),
