"""From a YAML file to a checked `Study`.

load        the entry: a mapping → a `Study`, or one line for each error
schema      the keys of the top level; those of each section are in schema_datasets, schema_experiments,
            schema_scenarios, schema_models, schema_figures, schema_claims and schema_imported
values      kinds of values: names, natural numbers, learning rates
arithmetic  `0.1/width`
grid        every combination of a grid, and which of its runs a panel shows
scenarios   the tasks of a scenario (`class_split`, `sliding_window`, …), and how similar they are
outline     what the runs of an experiment will have: kernels, tasks, parts of the probe
checks      keys that must fit together
reserved    names that figures and studies cannot have
filled      a study with every default filled in
handbook    the text of config/README.md
"""
