"""From kernels to numbers to verdicts.

metrics            the metrics: distance, velocity, alignment, spectrum, …
changes            drop and recovery at a switch
run_table          all metrics of a run, in rows
twin_table         the same for a linearised twin
timeline           the times of a run's rows: tasks, their ends, where a twin starts anew
switches           what each task, and the switch before it, does to the kernel, in numbers
claims             the paper's claims and their measures
verdicts           measures → intervals → verdicts
claims_text        claims.md: the verdicts, and what is forgotten, for people
width_convergence  how kernels of untrained networks converge with width
"""
