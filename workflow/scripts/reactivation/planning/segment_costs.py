"""What each segment of a plan costs: checkpoints, bytes, floating-point operations.

All of it follows from the plan, the shapes of the networks and the numbers of images.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactivation.data.facts import Counts, class_count, held_out_count, image_size, stated_counts
from reactivation.jobs.schedule import checkpoint_steps, is_linearized
from reactivation.planning.network_sizes import Network, network
from reactivation.planning.paths import DATASET
from reactivation.planning.plan import Kernels, Plan

if TYPE_CHECKING:
    from reactivation.data import specs

ASSUMED = (1300, 50)  # training and test images per class of a data set that is not here, as in ImageNet
OVERHEAD = {"checkpoint": 3_000, "kernels": 15_000, "row": 100}  # bytes of a file besides its numbers; of a row


@dataclass(frozen=True)
class Cost:
    """What one segment costs."""

    checkpoints: int
    weights: int  # bytes of one checkpoint
    kernels: int  # bytes of kernels
    state: int  # bytes of the saved state of a training in progress
    passed: int  # bytes of the optimizer's state that goes on to the next task
    steps: int  # optimizer steps
    step: int  # operations of one optimizer step
    training: float  # operations
    contraction: int  # operations of the kernels of one checkpoint
    contractions: float  # operations of all its kernels
    jobs: int  # its training, and what is measured on its checkpoints


def kernel_operations(of: Network, images: int, kinds: Iterable[str]) -> int:
    """Operations of the kernels of one checkpoint if nothing were sparse: an upper estimate.

    They are a forward pass, S passes back to the inputs of all layers, S Jacobians of every layer, and their products:
    n (1 + S) f + Σ S (2 n W L + n² W) for n images. A forward pass has f operations, a layer W weights used at L
    positions, and S is the number of logits, or 1 if only their sum is wanted.
    """
    seeds = seed_count(of, kinds)
    products = images**2 * sum(layer.weights for layer in of.layers)
    return images * (1 + seeds) * of.forward + seeds * (images * of.forward + products)


def seed_count(of: Network, kinds: Iterable[str]) -> int:
    """Number of combinations of logits that are differentiated: their sum, or each logit."""
    return 1 if set(kinds) == {"sum"} else of.classes


def images_of(spec: "specs.Segment", available: Counts) -> tuple[int, int]:
    """Numbers of images that an epoch of a segment's task trains on, and that its scenario is tested on."""
    own, tested = _images(spec, available)
    return own[-1] + spec["tasks"][-1]["replay"] * (len(own) - 1), tested


def images_held(spec: "specs.Segment", available: Counts) -> int:
    """Number of images that a training holds: of earlier tasks those that it replays, or all if each epoch draws."""
    own, tested = _images(spec, available)
    drawn = "replay_drawn" in spec["tasks"][-1]
    return (sum(own) if drawn else images_of(spec, available)[0]) + tested


def _images(spec: "specs.Segment", available: Counts) -> tuple[list[int], int]:
    """Numbers of images of each task so far, without replayed ones, and of those that the scenario is tested on."""
    images, tested = spec["images"], available[1]
    used = [min(count, images["limit_per_class"] or count) for count in available[0]]
    if share := images.get("held_out"):
        tested = [held_out_count(count, share) for count in used]
        used = [count - out for count, out in zip(used, tested, strict=True)]
    own = [sum(round(used[c] * w) for c, w in zip(t["classes"], t["weights"], strict=True)) for t in spec["tasks"]]
    return own, sum(tested[c] for c in images["classes"])


def segment_cost(
    spec: "specs.Segment", probes: list[tuple[int, list[str], bool]], available: Counts, within: bool = False
) -> Cost:
    """The cost of a segment's training and of its kernels on `probes`: images, kinds, and whether with layers.

    `within`: whether it has accuracies within tasks, which count as training.
    """
    task, training = len(spec["tasks"]) - 1, spec["training"]
    of = network(spec["model"], image_size(spec["dataset"]), len(available[0]))
    images, test = images_of(spec, available)
    epochs, batch = spec["epochs"][-1], training["batch_size"]
    per_epoch = -(-images // batch)
    steps = checkpoint_steps(per_epoch, epochs, **spec["checkpoints"])
    checkpoints = len(steps) + (task == 0)
    tests = len(steps | {*range(per_epoch, per_epoch * epochs + 1, per_epoch)}) + (task == 0)
    both, forward = of.both, of.forward
    if is_linearized(spec):
        both, forward = of.expanded, 3 * of.forward
    if is_linearized(spec) or within:  # tested in training, and once more: against its network, or within tasks
        tests += checkpoints
    contraction = sum(kernel_operations(of, n, kinds) for n, kinds, _ in probes)
    kernels = sum(n * n * 8 * len(kinds) * shares(of, layers) for n, kinds, layers in probes)
    return Cost(
        checkpoints=checkpoints,
        weights=of.bytes + OVERHEAD["checkpoint"],
        kernels=checkpoints * kernels + OVERHEAD["kernels"] * len(probes),
        state=of.bytes * (1 + moments(training)),
        passed=of.bytes * moments(training) * ("optimizer_state" in training),
        steps=per_epoch * epochs,
        step=both * min(batch, images),
        training=float(both * images * epochs + forward * test * tests),
        contraction=contraction,
        contractions=float(contraction * checkpoints),
        jobs=2 + within,
    )


def convergence_operations(spec: "specs.Convergence") -> float:
    """Operations of the kernels of untrained networks of several widths."""
    probe = spec["probe"]
    size, classes = image_size(probe["dataset"]), class_count(probe["dataset"])
    networks = (network(spec["model"] | {"width": width}, size, classes) for width in spec["widths"])
    each = (kernel_operations(of, probe["size"] + probe["held_out"], spec["kernels"]) for of in networks)
    return float(spec["initialisations"] * sum(each))


def shares(of: Network, layers: bool) -> int:
    """Number of kernels of each kind: that of the network and, with `layers`, one for each layer."""
    return 1 + layers * len(of.layers)


def probe_images(plan: Plan, kernels: Kernels) -> int:
    probe = plan.probes[kernels.probe].spec
    return probe["size"] + probe["held_out"]


def moments(training: "specs.Training") -> int:
    """Numbers that the optimizer keeps for each weight."""
    return 2 if training["optimizer"] == "adam" else int(training["momentum"] > 0)


def available(spec: "specs.Dataset", root: str, built: Path) -> Counts | None:
    """Images of each class, from the config, else the data set's file, else its folder; None if neither is here."""
    if known := stated_counts(spec):
        return known
    from reactivation.data.folders import count_folder  # imported here: without NumPy, planning starts sooner
    from reactivation.storage.datasets import read_labels

    if built.exists():
        train, test = (Counter(labels.tolist()) for labels in read_labels(built))
        classes = range(class_count(spec))
        return [train[c] for c in classes], [test[c] for c in classes]
    return count_folder(Path(root))


def image_counts(spec: "specs.Dataset", root: str, built: Path) -> tuple[Counts, str | None]:
    """Images of each class of the data set that `spec` describes, and what had to be assumed (None: nothing)."""
    if found := available(spec, root, built):
        return found, None
    said = (
        f"{spec['root']} is not unpacked here: {ASSUMED[0]:,} training and {ASSUMED[1]:,} test images a class are "
        "assumed, as in ImageNet"
    )
    train, test = ([images] * spec["classes"] for images in ASSUMED)
    return (train, test), said


def all_image_counts(plan: Plan, sources: dict[str, dict[str, Any]]) -> tuple[dict[str, Counts], list[str]]:
    """Images of each class of each data set, and what had to be assumed."""
    found = {
        name: image_counts(spec, sources[name]["root"], Path(DATASET.format(dataset=name)))
        for name, spec in plan.datasets.items()
    }
    return {name: counts for name, (counts, _) in found.items()}, [said for _, said in found.values() if said]


def costs(plan: Plan, counts: dict[str, Counts]) -> dict[str, Cost]:
    """The cost of each segment. `counts`: images of each class, by data set."""
    probes: dict[str, list] = {name: [] for name in plan.segments}
    for kernels in plan.kernels.values():
        probes[kernels.segment].append((probe_images(plan, kernels), kernels.kinds, kernels.layers))
    within = {*plan.within}
    return {
        name: segment_cost(segment.spec, probes[name], counts[segment.dataset], name in within)
        for name, segment in plan.segments.items()
    }
