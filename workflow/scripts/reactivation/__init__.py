"""The library of the workflow: what happens to the empirical Neural Tangent Kernel when the task changes.

These are its rooms. A room imports only rooms above it in this list (`make lint` checks that). A changed module re-runs
only the jobs that import it.

errors     errors that a user can mend, each in one line
seeds      random streams by name
catalogue  what each metric is called, and where it has values
ntk        the kernel of any network: `from reactivation.ntk import empirical_ntk`
storage    the layout of each kind of file: what writes it and what reads it
data       where images come from and which of them belong to a task; what a spec holds
jobs       what every job shares: its log, its state, its fingerprint, its progress
study      a config file → a checked study: keys, grids, scenarios, messages
analysis   kernels → metrics → what a switch does → verdicts on claims
planning   a study → runs and segments, their names and files, what they will cost
training   networks, the loop, linearised twins; the jobs that train and that compute kernels
figures    metric tables → panels → figures
report     the report's pages

`workflow/scripts/` has one thin script per rule, which calls this library. `workflow/rules/` says which script makes
which files.
"""
