"""Images, and the specs of everything that is made from them.

facts    what a config says about a data set: classes, image size, numbers of images
sources  streams of images: drawn letters, torchvision's CIFAR, folders, tarballs
indices  which images belong to a task, and which are the probe
images   images on the device, and how they become a batch
specs    the types of the specs that planning hands to jobs: images, tasks, segments, runs, figures
"""
