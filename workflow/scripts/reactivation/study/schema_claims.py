"""The keys of claims: which runs each is tested on, and from where on it counts as supported."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, StrictInt

from reactivation.study.values import Digits, Kernel, Strict, no_bool

Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(no_bool)]


class Claim(Strict):
    """What all claims have. A seed's runs are compared with each other; the interval is over seeds."""

    needs: ClassVar[dict[str, int]] = {}  # axes of the grid, and how many values of them at least
    zero: ClassVar[str | None] = None  # the axis that should have the value 0
    tasks: ClassVar[int] = 2  # at least

    experiment: str
    """A name under `experiments`."""
    where: dict[str, Any] = {}
    """Values of axes: only these runs are looked at."""


class WiderIsLazier(Claim):
    """1. Within a task, kernel distance and velocity fall as width grows."""

    needs = {"width": 2}
    tasks = 1
    fall: Number = 0.0
    """Share by which the first task's distance, and its mean velocity, fall with each doubling of the width, on average over other axes:
    more than this."""


class VelocitySpikes(Claim):
    """2. At every switch the velocity spikes, at every width, then falls back."""

    ratio: Number = 2.0
    """The velocity across the switch, over that before, and over that at the task's end: more than this, at the width and switch where it
    is least."""


class CheckMark(Claim):
    """3. The norm drops sharply at the switch and recovers slowly, at every width."""

    drop: Number = 0.1
    """Share by which the norm falls, beyond its falls before the switch: more than this, at the width and switch where it is least."""
    recovery: Number = 0.5
    """Share of what fell that is regained at the task's end (all, where it overshoots): more than this."""
    asymmetry: Number = 2.0
    """Time from the lowest point until the norm is back (or the task ends), over the time from the switch to the lowest point: more than
    this."""


class DropAndSpikeCoincide(Claim):
    """4. The drop and the spike coincide."""

    share: Annotated[float, Field(ge=0, lt=1), BeforeValidator(no_bool)] = 0.8
    """Of the switches, those where the norm falls, and is lowest within the dt epochs of the largest velocity: more than this."""


class OverConvergedRecoversLast(Claim):
    """5. Recovery takes longest in the over-converged phase (largest learning rate)."""

    needs = {"lr": 2}
    longer: Number = 0.0
    """Epochs that the norm takes longer to be back than at any other learning rate: more than this. A norm that is not back counts with
    the length of the task, one that did not fall with 0."""


class AlignmentTurns(Claim):
    """6. Alignment turns at the switch, and far more slowly in the under-converged phase (smallest learning rate)."""

    needs = {"lr": 2}
    ratio: Number = 2.0
    """How far alignment moves in the first dt epochs of the task, over its median change in dt epochs before: more than this."""
    slower: Number = 2.0
    """Time until half of its turn in the task at the smallest learning rate, over that at the largest: more than this."""


class Repeats(Claim):
    """7. The pattern repeats at each of several switches."""

    tasks = 3
    ratio: Number = 2.0
    """As in `velocity_spikes`, at the switch where it is least."""
    drop: Number = 0.1
    """As in `check_mark`, at the switch where it is least."""


class NewClassesOrder(Claim):
    """8. The more new classes, the larger the drop, the velocity and the distance; no drop without any."""

    needs = {"shift": 3}
    zero = "shift"
    rank_correlation: Annotated[float, Field(ge=-1, lt=1), BeforeValidator(no_bool)] = 0.8
    """Spearman's, of the number of new classes with each of the three: more than this."""
    unchanged: Number = 0.1
    """The drop without new classes, as a share of the largest: less than this."""


class DiminishingReturns(Claim):
    """9. The first few new classes do most."""

    needs = {"shift": 3}
    concavity: Number = 0.0
    """By how much, of its range, the drop lies above a straight line between the fewest and the most new classes: more than this."""


class FrequenciesBarelyMatter(Claim):
    """10. A shift of frequencies alone barely moves the kernel."""

    needs = {"alpha": 2}
    beside: str
    """The experiment with new classes (axis `shift`) that it is compared with."""
    where_beside: dict[str, Any] = {}
    """Values of axes of that experiment: only these runs are looked at."""
    share: Annotated[float, Field(gt=0, le=1), BeforeValidator(no_bool)] = 0.33
    """The largest drop and velocity, as shares of the largest with new classes: less than this."""


class LazyNetworksReactivate(Claim):
    """11. The widest network at the smallest learning rate still reactivates: its kernel does not stay as it is, and a theory that
    takes it for static mispredicts what is learned."""

    needs = {"width": 2, "lr": 2}
    ratio: Number = 2.0
    """As in `velocity_spikes`."""
    moved: Number = 0.05
    """Distance between the kernels at the switch and at the end of the task: more than this."""
    beside: str | None = None
    """An experiment with linearised twins (`dynamics: [network, linearized]` in its grid): what a static kernel predicts there. Not
    tested by default."""
    where_beside: dict[str, Any] = {}
    """Values of axes of that experiment: only these runs are looked at."""
    mispredicted: Number = 0.1
    """How far the function that the static kernel predicts is off at the task's end, as a share of the function's change in the task: more
    than this."""


class Claims(Strict):
    """The paper's claims, each tested if it is named here: `results/<study>/claims.{csv,md}`."""

    kernel: Kernel = "sum"
    """Of which kernel."""
    min_seeds: Annotated[StrictInt, Field(ge=2), Digits] = 3
    """With fewer seeds the verdict is `too few runs`."""
    confidence: Annotated[float, Field(gt=0, lt=1), BeforeValidator(no_bool)] = 0.95
    """Of the bootstrap interval over seeds, all of which must lie beyond the threshold. With few seeds such intervals are too
    narrow: docs/method.md says by how much."""
    wider_is_lazier: WiderIsLazier | None = None
    """Claim 1."""
    velocity_spikes: VelocitySpikes | None = None
    """Claim 2."""
    check_mark: CheckMark | None = None
    """Claim 3."""
    drop_and_spike_coincide: DropAndSpikeCoincide | None = None
    """Claim 4."""
    over_converged_recovers_last: OverConvergedRecoversLast | None = None
    """Claim 5."""
    alignment_turns: AlignmentTurns | None = None
    """Claim 6."""
    repeats: Repeats | None = None
    """Claim 7."""
    new_classes_order: NewClassesOrder | None = None
    """Claim 8."""
    diminishing_returns: DiminishingReturns | None = None
    """Claim 9."""
    frequencies_barely_matter: FrequenciesBarelyMatter | None = None
    """Claim 10."""
    lazy_networks_reactivate: LazyNetworksReactivate | None = None
    """Claim 11."""

    def tested(self) -> dict[str, Claim]:
        """Claims that are named, by name, in their order."""
        return {name: claim for name, claim in self if isinstance(claim, Claim)}
