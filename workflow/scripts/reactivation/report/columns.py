"""What the columns of a study's tables mean: the report shows it when a reader points at a column's name."""

MEANINGS = {
    "run": "name of the run: its experiment, grid values and seed",
    "experiment": "name of the experiment in the config",
    "seed": "seed of the initialisation and of the order of batches",
    "similarity": "similarity of the task to the one before",
    "starts": "epoch at which the task begins: the switch",
    "ends": "epoch at which the task ends",
    "dt": "time step of velocities, in epochs",
    "distance": "S(Θ_starts, Θ_ends): how far the kernel has turned by the end of the task",
    "path": "Σ S(Θ_t, Θ_t+dt) over the task in steps of dt; S is like a squared distance, so the path can be less than "
    "`distance`",
    "velocity_mean": "mean velocity in the task (1/epoch)",
    "velocity_before": "median velocity in the second half of the task before (1/epoch)",
    "velocity_at": "v(starts): velocity across the switch (1/epoch)",
    "velocity_ratio": "velocity_at / velocity_before: the spike",
    "velocity_last": "v(ends − dt) (1/epoch)",
    "spike_epoch": "when the largest velocity from the middle of the task before on begins, in epochs since the switch",
    "norm_before": "largest eigenvalue (the norm) at the switch",
    "norm_lowest": "lowest norm in the task",
    "norm_last": "norm at the end of the task",
    "norm_drop": "(norm_before − norm_lowest) / norm_before",
    "norm_unrest": "deepest fall of the norm below an earlier value, as a share of that value, in the second half of "
    "the task before",
    "norm_recovery": "(norm_last − norm_lowest) / norm_before",
    "drop_epochs": "epochs from the switch to the lowest norm",
    "recovery_epochs": "epochs from the switch until the norm, after its lowest value, is back at norm_before; empty: "
    "not in this task",
    "alignment_before": "alignment at the switch",
    "alignment_after": "alignment at the end of the task",
    "alignment_turn": "|A(starts + dt) − A(starts)|",
    "alignment_pace": "median |A(t + dt) − A(t)| in the second half of the task before",
    "turn_epochs": "epochs from the switch until |A − alignment_before| is half of its largest value in the task; at "
    "least one step",
    "alignment_identity": "alignment of the identity, a kernel that knows nothing, at the end of the task",
    "alignment_permuted_low": "with permuted labels, the alignment at the end of the task is above this in 97.5 % of "
    "cases",
    "alignment_permuted_high": "with permuted labels, the alignment at the end of the task is below this in 97.5 % of "
    "cases",
    "forgetting": "mean over the earlier tasks of the best accuracy at the end of a task, minus that at the end of "
    "this one",
    "forgetting_within_task": "the same of `accuracy_within_task`: what would be lost even if the network were told "
    "the task",
    "static_function_error": "error of the linearised twin, whose kernel is that at the switch: "
    "‖f − f_lin‖ / ‖f − f_starts‖ at the task's end, on all test images; empty, like the next two, if the grid has no "
    "twin of the run",
    "static_accuracy_error": "the twin's accuracy on the task's test images minus the network's, at the task's end",
    "static_forgetting_error": "the twin's `forgetting` minus the network's",
    "kernel": "sum: NTK of the summed logits; trace: NTK, mean over outputs",
    "task": "which task of the run, from 1",
    "trained": "number of tasks trained by then; 0: at initialisation",
    "test_accuracy": "share of the task's test images that are classified right",
    "accuracy_within_task": "the same if only the task's own classes count; empty for tasks that have not begun",
    "claim": "number of the claim, in the paper's order",
    "name": "key of the claim in the config; of several on a list, with its place there, from 0",
    "statement": "what the paper claims",
    "measure": "what is measured, per seed",
    "unit": "times: a ratio; share: 0.5 is 50 %",
    "effect": "mean over seeds; for ratios, the geometric mean",
    "finding": "supported: the whole interval lies on the side of the threshold that `sign` says; contradicted: on the "
    "other; open: neither, or too few seeds",
    "low": "lower end of the interval over seeds (Student's t; of logarithms for ratios)",
    "high": "upper end of that interval",
    "sign": "on which side of the threshold the whole interval should lie",
    "threshold": "threshold in the config",
    "holds": "whether the whole interval lies on that side of the threshold",
    "seeds": "how many seeds have all runs that the measure needs",
    "verdict": "verdict on the claim: supported if all of its measures are, contradicted if one is, otherwise open",
    "where": "values of axes that choose the runs, and the experiment beside; empty: all of the experiment",
    "sentence": "the evidence for the verdict, in words",
}
