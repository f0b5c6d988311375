"""Images, and the specs of everything that is made from them.

facts          what a config says about a data set: classes, image size, numbers of images
sources        streams of images: drawn letters, torchvision's CIFAR, folders, tarballs
folders        the image files of a folder, in order
archives       the image files of a tarball, member by member
source_digest  a digest of images by content, wherever they lie
parallel       work in threads that keeps the order
indices        which images belong to a task, and which are the probe
images         images on the device, and how they become a batch
specs          the types of the specs that planning hands to jobs: images, tasks, segments, runs, figures
"""
