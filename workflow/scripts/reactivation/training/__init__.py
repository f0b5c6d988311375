"""Training, and the jobs that need torch.

networks           the networks and their parametrizations
optimizer          SGD and Adam, learning rates by parameter
device             threads, precision, memory
loop               the experiment, from the first batch to the last checkpoint
evaluation         accuracy and loss on the test set
linearized         a network's first-order expansion
function_distance  how far the two are apart
train_job          one segment, from its files to its files
kernels_job        the kernels of all its checkpoints
widths_job         the kernels of untrained networks of several widths
calibrate          how fast this machine is
"""
