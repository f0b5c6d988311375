"""Reactivation: what happens to the empirical Neural Tangent Kernel when the task changes.

Targets: all (the default: every figure, every run's metrics and the report's pages); figures; each figure by name, such
as fig4; budget (what all that takes); prune (what no study needs any more); verify (whether results are what was
written, and what this code makes).
"""

import os
import sys

from snakemake.utils import min_version

min_version("9.27")

# The library is in the folder of the scripts. Rule files plan with it, scripts compute with it.
sys.path.insert(0, f"{workflow.basedir}/workflow/scripts")


# Only without --configfile: Snakemake merges config files, so another study would get the quickstart's experiments.
if not workflow.config_settings.configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/plan.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/ntk.smk"
include: "workflow/rules/function.smk"
include: "workflow/rules/within.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/convergence.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/tools.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/stale.smk"


# Jobs compare what they import with the bytes of which the fingerprints above were taken (reactivation.jobs.executed).
config["where"]["code"] = SOURCES


# Only in the process that the user calls (Snakemake calls itself with --no-hooks), and not in dry runs.
onstart:
    refuse_what_slurm_would()
    refuse_what_cannot_go_together()
    if os.environ.get(PLANNED, planned_code()) != planned_code():  # of the call of `verify` that calls this
        raise WorkflowError("the code has changed since snakemake was called: call the same command again")
    # On a cluster, each job reads the rules anew; this says what they were when the user called.
    os.environ[PLANNED] = planned_code()
    os.environ[COMMIT] = git_commit()
    if not (workflow.touch or set(TOOLS) & set(sys.argv)):
        refuse_what_cannot_be_written()
        from reactivation.jobs import watch  # imported here, at no cost to other calls

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
