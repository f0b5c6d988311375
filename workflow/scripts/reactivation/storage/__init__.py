"""The layout of each kind of file under results/, and of imported kernels.

One module knows each layout, and alone writes and reads such files. Only tables have two, rows and tables.

partial      temporary names, and whether anyone still writes there
files        atomic writing, errors that name a damaged file, digests, text and JSON
receipts     size, rows and digest of each result, and the comparison with them
compare      whether two files hold the same result
accepted     what `verify` accepted, and on what evidence
hdf5         new HDF5 files with checksums
arrays       named arrays (.npz): splits, probes, kernels of an unfinished job
rows         CSV tables, row by row: writes them all, reads those of segments and has their columns
tables       reads all other tables, as pandas data frames
headers      the columns of a study's tables
datasets     images and labels of a data set
checkpoints  weights, and the state of a training
kernels      kernels of a segment
imported     kernels that were computed elsewhere
"""
