"""Tools, which run only when asked for by name. They make no results.

budget: prints what the study takes. prune: lists what no study's config names; `--config delete=true` deletes it.
verify: compares all results with what was written, and some with what they are when made again; `--config accept=true`
takes those for current that differ from now only by code.
"""


rule budget:
    log:
        ".snakemake/log/budget.log",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    script:
        "../scripts/print_budget.py"


rule prune:
    log:
        ".snakemake/log/prune.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        configs=study_configs,
        given=[os.path.relpath(path) for path in workflow.configfiles],
        delete=DELETE,
    script:
        "../scripts/prune_results.py"


rule verify:
    log:
        ".snakemake/log/verify.log",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    params:
        # Snakemake itself, which is not in the job's environment.
        program=[sys.executable, *([sys.argv[0]] if Path(sys.argv[0]).name == "snakemake" else ["-m", "snakemake"])],
        snakefile=str(workflow.main_snakefile),
        configfiles=[str(Path(path).resolve()) for path in workflow.configfiles],
        config_digests=[hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in workflow.configfiles],
        config={key: value for key, value in workflow.config_settings.config.items() if key not in ("sample", "accept")},
        options=conda_options(),
        cores=workflow.resource_settings.cores or 1,
        data_root=STUDY.data_root,
        warn=STUDY.versions == "warn",
        kept={"all": ["checkpoints", "final.pt"], "final": ["final.pt"], "none": []}[KEEP],
        segments=list(PLAN.segments),
        study=STUDY.study,
        sample=SAMPLE,
        accept=ACCEPT,
    script:
        "../scripts/verify_results.py"
