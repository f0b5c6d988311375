"""Images, and what specs say of them and of what is made from them.

facts    what a config says of a data set: classes, image size, numbers of images
sources  streams of images: drawn letters, torchvision's CIFAR, folders, tarballs
indices  which images belong to a task, and which are the probe
images   images on the device, and how they become a batch
specs    what the specs hold that planning hands to jobs: images, tasks, segments, runs, figures
"""
