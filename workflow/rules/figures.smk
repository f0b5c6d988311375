"""Figures: one job each.

Builds: results/<study>/figures/<figure>.{pdf,png,csv,json}; the csv has exactly what is drawn, the json its origin
From:   the metric tables of the runs that the figure shows, and the numbers of the figure whose scales it takes
"""


rule figure:
    input:
        unpack(figure_sources),
    output:
        pdf=f"results/{STUDY.study}/figures/{{figure}}.pdf",
        png=report(
            f"results/{STUDY.study}/figures/{{figure}}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        csv=f"results/{STUDY.study}/figures/{{figure}}.csv",
        origin=f"results/{STUDY.study}/figures/{{figure}}.json",
    log:
        f"results/logs/figure/{STUDY.study}/{{figure}}.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        **bound(
            "figure",
            "draw_figure.py",
            "analysis",
            paths.FIGURE,
            spec=lambda wildcards: PLAN.figures[wildcards.figure].spec,
        ),
    script:
        "../scripts/draw_figure.py"
