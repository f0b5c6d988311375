"""From a YAML file to a checked `Study`.

load        the door: a mapping → a `Study`, or one line for everything that is wrong
schema      the top level; schema_datasets, schema_experiments, schema_scenarios, schema_models, schema_figures, schema_claims and
            schema_imported have the keys of each section
values      kinds of values: names, natural numbers, learning rates
arithmetic  `0.1/width`
grid        every combination of a grid, and which of its runs a panel shows
scenarios   the tasks of a scenario (`class_split`, `sliding_window`, …), and how similar they are
outline     what an experiment's runs will have: kernels, tasks, parts of the probe
checks      what one key says of another
reserved    names that figures and studies cannot have
filled      a study with every default in its place
handbook    config/README.md
"""
