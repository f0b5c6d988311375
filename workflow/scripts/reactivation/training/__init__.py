"""Training, and the jobs that need torch.

networks           the networks and their parametrizations
optimizer          SGD and Adam, learning rates by parameter
device             threads, precision, memory
batches            images of a data set's file, on the device
loop               the training of a segment, from the first batch to the last checkpoint
resume             going on after a kill
evaluation         accuracy and loss on the test set
training_log       a row for each epoch, and lines for a person who follows
linearized         a network's first-order expansion
function_distance  how far a network and its expansion are apart, and the job that measures it
train_job          one segment, from its files to its files
kernels_job        the kernels of all checkpoints of a segment
widths_job         the kernels of untrained networks of several widths
calibrate          how fast this machine is: `snakemake budget`
"""
