"""The library: what happens to the empirical Neural Tangent Kernel when the task changes. A map of its rooms.

A room imports only rooms above it in this list (`make lint` checks that). A change runs again the jobs that import it, and no others.

errors     what a user can mend, in one line
seeds      random streams by name
catalogue  what each metric is called, and what it has
ntk        the kernel of any network: `from reactivation.ntk import empirical_ntk`
storage    the layout of each kind of file: the only reader and writer of it
data       where images come from, which of them belong to a task; what a spec holds
jobs       what every job shares: its log, its state, its fingerprint, its progress
study      a config file → a checked study: keys, grids, scenarios, messages
analysis   kernels → metrics → what a switch does → verdicts on claims
planning   a study → runs and segments, their names and files, what they will cost
training   networks, the loop, linearised twins; the jobs that train and that compute kernels
figures    metric tables → panels → figures
report     the report's pages

`workflow/scripts/` has one thin script per rule, which calls this library; `workflow/rules/` says which script makes what.
"""
