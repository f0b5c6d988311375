"""Choose the images on which kernels are evaluated."""

from reactivation.job import logged

# isort: split
from reactivation import storage
from reactivation.tasks import balanced_probe

with logged(snakemake.log[0]):
    probe = balanced_probe(snakemake.params.spec, *storage.read_labels(snakemake.input.dataset))
    storage.write_arrays(snakemake.output[0], **probe)
    print(f"{len(probe['index'])} images, labels {probe['label'].tolist()}")
