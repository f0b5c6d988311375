"""Print how much disk and time the study will take."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import tell

# isort: split
from reactivation.errors import InputError
from reactivation.planning.plan import make_plan, sources
from reactivation.study.load import as_given, load_study
from reactivation.training.calibrate import budget
from reactivation.training.device import keep_freed_memory, set_up_device

study = load_study(as_given(snakemake.config))
try:
    # Where the speed is stated, nothing is measured: a login node need not have the GPU.
    device = set_up_device("cpu" if study.flops_per_second else study.device, snakemake.threads)
    keep_freed_memory()  # as trainings do
    text = budget(make_plan(study), sources(study), study.checkpoints.keep, study.flops_per_second, device)
    tell(text, snakemake.log[0])
except InputError as error:
    sys.exit(f"error: {error}")
