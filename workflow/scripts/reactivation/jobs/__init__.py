"""What jobs share, whatever they compute. Nothing here imports torch.

job          a quick start, the log, one line for each error
workplace    the folder of a job, from which it goes on after it was killed
state        the state of a long computation, and a thread that writes
schedule     at which steps a training keeps weights
memory       memory that a job takes besides its own work
progress     lines in the log on how far a job is
watch        what a person sees while a study runs
fingerprint  the code that decides whether a job runs again
provenance   where a result comes from
"""
