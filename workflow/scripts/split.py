"""Choose the images of each task so far of a scenario."""

from reactivation.job import logged

# isort: split
from reactivation import storage
from reactivation.tasks import split

with logged(snakemake.log[0]):
    indices = split(snakemake.params.spec, *storage.read_labels(snakemake.input.dataset))
    storage.write_arrays(snakemake.output[0], **indices)
    for name, values in indices.items():
        print(f"{name}: {len(values)} images")
