"""What the columns of a study's tables mean, for whoever points at their heads."""

from . import switches

COLUMNS = {
    "run": "name of the run: its experiment, grid values and seed",
    "experiment": "name of the experiment in the config",
    "seed": "of the initialisation and the order of batches",
    **switches.COLUMNS,
    "kernel": "sum: NTK of the summed logits; trace: NTK, mean over outputs",
    "task": "which task of the run, from 1",
    "trained": "number of tasks trained by then; 0: at initialisation",
    "test_accuracy": "share of the task's test images that are classified right",
    "claim": "number of the claim, in the paper's order",
    "name": "key of the claim in the config",
    "statement": "what the paper claims",
    "measure": "what is measured, per seed",
    "unit": "times: a ratio; share: 0.5 is 50 %",
    "effect": "mean over seeds; of ratios, geometric",
    "low": "lower end of the bootstrap interval over seeds",
    "high": "upper end of the bootstrap interval over seeds",
    "sign": "on which side of the threshold the whole interval should lie",
    "threshold": "of the config",
    "holds": "whether the whole interval lies on that side",
    "seeds": "how many seeds have all runs that the measure needs",
    "verdict": "on the claim: supported, if all of its measures hold",
    "sentence": "the same in words, of the whole claim",
}
