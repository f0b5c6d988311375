"""From a `Study` to everything that must be computed. Nothing here imports Snakemake or torch.

plan           runs, segments, kernels, figures
names          what they are called
paths          where their files are
inputs         which files each job reads
network_sizes  parameters and operations of each network
segment_costs  images, steps, bytes and operations of each segment
requests       minutes and memory that a job asks a cluster for
budget_table   what a study takes, figure by figure
strays         results of which Snakemake has no record
prune          results that no config names
"""
