"""What jobs share, whatever they compute. Nothing here imports torch.

job          a quick start, the log, one line for each error
workplace    the folder in which a job keeps what a killed one can go on from
state        the state of a long computation, and a thread that writes
schedule     at which steps a training keeps weights
memory       how much memory a job asks for and leaves alone
progress     lines on how far a job is
watch        what a person sees while a study runs
fingerprint  the code that decides whether a job runs again
provenance   where a result comes from
"""
