"""The keys of claims: the runs that each is tested on, and the thresholds beyond which it counts as supported."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StrictInt, Tag

from reactivation.study.values import Digits, Kernel, Strict, no_bool

Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(no_bool)]
Times = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(no_bool)]


class Claim(Strict):
    """Keys that all claims have. Runs of one seed are compared with each other; the interval is over seeds."""

    needs: ClassVar[dict[str, int]] = {}  # axes of the grid, each with the least number of its values
    zero: ClassVar[str | None] = None  # the axis that should have the value 0
    tasks: ClassVar[int] = 2  # least number of tasks

    experiment: str
    """A name under `experiments`."""
    where: dict[str, Any] = {}
    """Values of axes: only runs with these values are used."""


class WiderIsLazier(Claim):
    """1. Within a task, kernel distance and velocity fall as width grows."""

    needs = {"width": 2}
    tasks = 1
    fall: Annotated[float, Field(lt=1, allow_inf_nan=False), BeforeValidator(no_bool)] = 0.0
    """Share by which the distance and the mean velocity in the first task fall with each doubling of the width,
    averaged over other axes. It must be more than this."""


class VelocitySpikes(Claim):
    """2. At every switch the velocity spikes, at every width, then falls back."""

    ratio: Times = 2.0
    """Velocity across the switch, relative to that before it and to that at the task's end, at the width and switch
    where it is least. It must be more than this."""


class CheckMark(Claim):
    """3. The norm drops sharply at the switch and recovers slowly, at every width."""

    drop: Number = 0.1
    """Share by which the norm falls, beyond its falls before the switch, at the width and switch where it is least. It
    must be more than this."""
    recovery: Number = 0.5
    """Share of the fall that is regained by the task's end (1 if the norm overshoots). It must be more than this."""
    asymmetry: Times = 2.0
    """Time from the lowest point until the norm is back (or the task ends), divided by the time from the switch to the
    lowest point. It must be more than this."""


class DropAndSpikeCoincide(Claim):
    """4. The drop and the spike coincide."""

    share: Annotated[float, Field(ge=0, lt=1), BeforeValidator(no_bool)] = 0.8
    """Share of switches at which the norm falls, and is lowest within the dt epochs of the largest velocity. It must be
    more than this."""


class OverConvergedRecoversLast(Claim):
    """5. Recovery takes longest in the over-converged phase (largest learning rate)."""

    needs = {"lr": 2}
    longer: Number = 0.0
    """Epochs by which the norm takes longer to be back than at any other learning rate. It must be more than this. A
    norm that does not come back counts with the length of the task, one that does not fall with 0."""


class AlignmentTurns(Claim):
    """6. Alignment turns at the switch, and far more slowly in the under-converged phase (smallest learning rate)."""

    needs = {"lr": 2}
    ratio: Times = 2.0
    """Change of alignment in the first dt epochs of the task, divided by its median change in dt epochs before. It must
    be more than this."""
    slower: Times = 2.0
    """Time until alignment has made half of its turn in the task, at the smallest learning rate, divided by that time
    at the largest. It must be more than this."""


class Repeats(Claim):
    """7. The pattern repeats at each of several switches."""

    tasks = 3
    ratio: Times = 2.0
    """As in `velocity_spikes`, at the switch where it is least."""
    drop: Number = 0.1
    """As in `check_mark`, at the switch where it is least."""


class NewClassesOrder(Claim):
    """8. The more new classes, the larger the drop, the velocity and the distance; no drop without any."""

    needs = {"shift": 3}
    zero = "shift"
    rank_correlation: Annotated[float, Field(ge=-1, lt=1), BeforeValidator(no_bool)] = 0.8
    """Spearman's correlation of the number of new classes with each of the three. It must be more than this."""
    unchanged: Number = 0.1
    """The drop without new classes, as a share of the largest drop. It must be less than this."""


class DiminishingReturns(Claim):
    """9. The first few new classes matter most."""

    needs = {"shift": 3}
    concavity: Number = 0.0
    """How far the drop lies above a straight line between the fewest and the most new classes, as a share of its range.
    It must be more than this."""


class FrequenciesBarelyMatter(Claim):
    """10. A shift of frequencies alone barely moves the kernel."""

    needs = {"alpha": 2}
    beside: str
    """The experiment with new classes (axis `shift`) to compare with."""
    where_beside: dict[str, Any] = {}
    """Values of axes of that experiment: only its runs with these values are used."""
    share: Annotated[float, Field(gt=0, le=1), BeforeValidator(no_bool)] = 0.33
    """The largest drop and velocity, as shares of the largest with new classes. They must be less than this."""


class LazyNetworksReactivate(Claim):
    """11. The widest network at the smallest learning rate still reactivates: its kernel does not stay static, and a
    theory that assumes a static kernel mispredicts what is learned."""

    needs = {"width": 2, "lr": 2}
    ratio: Times = 2.0
    """As in `velocity_spikes`."""
    moved: Number = 0.05
    """Distance between the kernels at the switch and at the task's end. It must be more than this."""
    beside: str | None = None
    """An experiment with linearised twins (`dynamics: [network, linearized]` in its grid), to test what a static kernel
    predicts. By default that is not tested."""
    where_beside: dict[str, Any] = {}
    """Values of axes of that experiment: only its runs with these values are used."""
    mispredicted: Number = 0.1
    """Error at the task's end of the function that the static kernel predicts, as a share of the function's change in
    the task. It must be more than this."""


TAGS = ("[one]", "[several]")  # in brackets, so that pydantic's locations of errors show that they are not keys
C = TypeVar("C", bound=Claim)


def _tag(value: Any) -> str:
    return TAGS[isinstance(value, list)]


def _different(claims: list[C]) -> list[C]:
    if any(claim in claims[:i] for i, claim in enumerate(claims)):
        raise ValueError("has the same mapping twice: remove one")
    return claims


_Several = Annotated[list[C], Field(min_length=1), AfterValidator(_different)]
OneOrSeveral = Annotated[Annotated[C, Tag(TAGS[0])] | Annotated[_Several[C], Tag(TAGS[1])], Discriminator(_tag)]


class Claims(Strict):
    """The paper's claims. Each is tested if it is named here, with a mapping or, to test it on several experiments, a
    list of mappings. Verdicts are in `results/<study>/claims.{csv,md}`, and as a picture in `claims.{pdf,png}`."""

    kernel: Kernel = "sum"
    """The kernel that claims are tested on."""
    kernel_beside: Kernel | None = None
    """A second kernel, on which claims are tested too, with verdicts of their own. By default `trace`, where the
    experiments compute it. If it is the same as `kernel`, claims are tested on that alone."""
    min_seeds: Annotated[StrictInt, Field(ge=2), Digits] = 3
    """With fewer seeds the verdict is `open`."""
    confidence: Annotated[float, Field(gt=0, lt=1), BeforeValidator(no_bool)] = 0.95
    """Confidence of the intervals over seeds (Student's t). A claim is `supported` if all of its intervals lie beyond
    their thresholds, `contradicted` if one lies wholly on the other side, and `open` otherwise."""
    wider_is_lazier: OneOrSeveral[WiderIsLazier] | None = None
    """Claim 1."""
    velocity_spikes: OneOrSeveral[VelocitySpikes] | None = None
    """Claim 2."""
    check_mark: OneOrSeveral[CheckMark] | None = None
    """Claim 3."""
    drop_and_spike_coincide: OneOrSeveral[DropAndSpikeCoincide] | None = None
    """Claim 4."""
    over_converged_recovers_last: OneOrSeveral[OverConvergedRecoversLast] | None = None
    """Claim 5."""
    alignment_turns: OneOrSeveral[AlignmentTurns] | None = None
    """Claim 6."""
    repeats: OneOrSeveral[Repeats] | None = None
    """Claim 7."""
    new_classes_order: OneOrSeveral[NewClassesOrder] | None = None
    """Claim 8."""
    diminishing_returns: OneOrSeveral[DiminishingReturns] | None = None
    """Claim 9."""
    frequencies_barely_matter: OneOrSeveral[FrequenciesBarelyMatter] | None = None
    """Claim 10."""
    lazy_networks_reactivate: OneOrSeveral[LazyNetworksReactivate] | None = None
    """Claim 11."""

    def tested(self) -> Iterator[tuple[str, str, Claim]]:
        """The name, the key and the content of each claim that is tested, in their order.

        The key says which of several it is: wider_is_lazier, or wider_is_lazier.1.
        """
        for name, value in self:
            if isinstance(value, Claim):
                yield name, name, value
            elif isinstance(value, list):
                yield from ((name, f"{name}.{i}", claim) for i, claim in enumerate(value))
