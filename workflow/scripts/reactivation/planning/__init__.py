"""From a `Study` to everything that must be computed. Nothing here imports Snakemake or torch.

plan           runs, segments, kernels, figures
identity       what of an experiment determines its results
names          what they are called
collisions     two things of one name, which are refused
paths          where their files are
inputs         which files each job reads
network_sizes  parameters and operations of each network
segment_costs  images, steps, bytes and operations of each segment
requests       minutes and memory that a job asks a cluster for
budget_table   what a study takes, figure by figure
binding        whether a result was made by the code, config and versions of now
strays         results of which Snakemake has no record
prune          results that no config names
verify         whether results are what was written and what this code makes: the whole of `snakemake verify`
digests        every result compared with its record
nested         calls of Snakemake by `verify`
stale          what Snakemake would make again, why, and what of it may be accepted
sample         which results are made again
remake         making them again, in a folder of their own
records        records of results that an earlier release made
accept         taking results for current
"""
