"""Pages: what `--report` shows besides the figures, and one page that draws any curve of any run.

Builds: results/<study>/explore.html, results/<study>/tables/<table>.html, results/<study>/config.{yaml,html}
From:   the metric tables of all runs; tables; the config
"""

from reactivation.catalogue import LOGARITHMIC, WORDS
from reactivation.planning import paths
from reactivation.planning.paths import TABLES
from reactivation.report.captions import plain
from reactivation.storage.files import json_digest
from reactivation.study.filled import published

# Not among params, for two reasons. A caption is not drawn, so its figure need not be made again. And the report has
# params unescaped, so that free text could end the report's own script.
config["report"] = {
    "captions": {name: plain(figure.caption) for name, figure in STUDY.figures.items()},
    "study": published(STUDY),
}


rule explore:
    input:
        runs=expand("results/{study}/runs/{run}.csv", study=STUDY.study, run=PLAN.runs),
    output:
        f"results/{STUDY.study}/explore.html",
    log:
        f"results/logs/explore/{STUDY.study}.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        **bound(
            "explore",
            "write_explorer.py",
            "report",
            paths.EXPLORER,
            study=STUDY.study,
            words=WORDS,
            logarithmic=LOGARITHMIC,
            page=template("explore.html"),
        ),
    script:
        "../scripts/write_explorer.py"


rule table:
    input:
        f"results/{STUDY.study}/{{table}}.csv",
    output:
        report(
            f"results/{STUDY.study}/tables/{{table}}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
    log:
        f"results/logs/table/{STUDY.study}/{{table}}.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        **bound(
            "table",
            "write_table_page.py",
            "report",
            paths.TABLE_PAGE,
            page=template("table.html"),
        ),
    script:
        "../scripts/write_table_page.py"


rule resolved:
    output:
        yaml=f"results/{STUDY.study}/config.yaml",
        html=report(
            f"results/{STUDY.study}/config.html",
            caption="../report/config.rst",
            category="Config",
            labels={"config": "resolved"},
        ),
    log:
        f"results/logs/resolved/{STUDY.study}.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        **bound(
            "resolved",
            "write_config.py",
            "report",
            paths.CONFIG,
            study=json_digest(config["report"]["study"]),
            page=template("config.html"),
        ),
    script:
        "../scripts/write_config.py"
