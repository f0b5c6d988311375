"""The files under results/. Each kind has one module, which alone reads and writes it.

files        atomic writing, errors that name a damaged file, digests, text and JSON
hdf5         new HDF5 files with checksums
arrays       named arrays (.npz): splits and probes
rows         CSV tables, row by row: all are written here
tables       the same tables as pandas data frames
headers      the columns of each table
datasets     images and labels of a data set
checkpoints  weights, and the state of a training
kernels      kernels of a segment
imported     kernels that were computed elsewhere
"""
