"""Choose the images on which kernels are evaluated."""

from reactivation import storage
from reactivation.job import logged
from reactivation.tasks import balanced_probe

with logged(snakemake.log[0]):
    labels, _ = storage.read_labels(snakemake.input.dataset)
    index = balanced_probe(snakemake.params.spec, labels)
    storage.write_arrays(snakemake.output[0], index=index, label=labels[index])
    print(f"{len(index)} images, labels {labels[index].tolist()}")
