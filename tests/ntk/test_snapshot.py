"""A network after a forward pass that changed it, and after `Snapshot.restore`."""

import copy
import functools
import logging
import pickle
import threading
import weakref
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from reactivation.ntk.snapshot import Snapshot


class Slotted:
    __slots__ = ("empty", "full")

    def __init__(self):
        self.full = [torch.ones(2)]


class Plain:
    """A plain object in a cycle."""

    def __init__(self):
        self.me, self.count, self.seen = self, 0, {"pass": [torch.zeros(3)]}

    def note(self):
        """A bound method leads here too."""


class Net(nn.Module):
    """Holds a thing of each kind."""

    mean: torch.Tensor
    shown: torch.Tensor

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
        self.register_buffer("mean", torch.arange(3.0))
        self.register_buffer("none", None)
        self.register_buffer("shown", torch.ones(3))
        self.frozen = nn.Parameter(torch.tensor([1.0, float("nan"), -0.0]), requires_grad=False)
        self.lists = {"a": [torch.ones(2), torch.ones(3)], "b": []}
        self.ordered, self.sets, self.queue = OrderedDict(a=1, b=2), {1, "x"}, deque([1, 2], maxlen=2)
        self.plain, self.slotted, self.pair = Plain(), Slotted(), (Plain(), 1)
        self.array, self.objects = np.arange(6.0).reshape(2, 3), np.array([[1], None], dtype=object)
        self.scale, self.gone = 1.0, "here"
        self.part, self.view = functools.partial(max, [1, 2]), self.shown[1:]

    def forward(self, x):
        return self.body(x) * self.scale + self.mean


X = torch.linspace(-1, 1, 24).reshape(6, 4)


def added(net):
    net.body.add_module("new", nn.Linear(3, 3))
    net.body.new.weight.data.zero_()


def hooked(net):
    net.body[0].register_forward_hook(lambda *_: torch.zeros(6, 5))
    net.body[0].weight.register_hook(torch.zeros_like)
    net.body[0].bias.register_post_accumulate_grad_hook(lambda p: p.grad.zero_() and None)


def trained(net):
    net(X).square().sum().backward()


def in_graph(net):
    net.mean.mul_(net.body[3].bias)  # a buffer that now hangs in a graph


def moved(net):
    bias = net.body[3].bias
    net.body[3].bias.data = bias.data[:2].clone()
    net.mean.resize_(2).fill_(3.0)
    net.body[0].weight.data = net.body[0].weight.data.T


def filled(net):
    net.slotted.empty = net.slotted.full = 1


CHANGES = {
    "attribute created": lambda net: setattr(net, "cache", X),
    "attribute deleted": lambda net: delattr(net, "gone"),
    "attribute of a parameter": lambda net: setattr(net.frozen, "tag", 1),
    "attribute of an inner module": lambda net: setattr(net.body[1], "eps", 1.0),
    "buffer replaced": lambda net: setattr(net, "mean", torch.ones(3)),
    "buffer appears": lambda net: setattr(net, "none", torch.ones(3)),
    "buffer in place": lambda net: net.mean.add_(1),
    "buffer in a graph": in_graph,
    "buffer deleted": lambda net: delattr(net, "mean"),
    "buffer's view": lambda net: net.view.zero_(),
    "batch norm": lambda net: net(X),
    "parameter replaced": lambda net: setattr(net.body[0], "weight", nn.Parameter(torch.ones(5, 4))),
    "parameter's data replaced": lambda net: setattr(net.body[0].weight, "data", torch.ones(5, 4)),
    "parameter's data in place": lambda net: net.body[0].weight.data.mul_(2),
    "other shapes": moved,
    "other dtype": lambda net: net.double(),
    "to half": lambda net: net.half(),
    "nan": lambda net: net.frozen.data.fill_(float("nan")),
    "minus zero": lambda net: net.frozen.data[2:].zero_(),
    "frozen": lambda net: net.requires_grad_(False),
    "unfrozen": lambda net: net.requires_grad_(True),
    "gradient": trained,
    "gradient dropped": lambda net: net.zero_grad(),
    "gradient in place": lambda net: net.body[3].weight.grad.zero_(),
    "evaluated": lambda net: net.eval(),
    "module added": added,
    "module replaced": lambda net: net.body.__setitem__(2, nn.Tanh()),
    "hooks": hooked,
    "list": lambda net: net.lists["a"].append(1),
    "tensor in a list": lambda net: net.lists["a"][1].zero_(),
    "dict": lambda net: net.lists.clear(),
    "order": lambda net: net.ordered.move_to_end("a"),
    "set": lambda net: net.sets.add(2),
    "deque": lambda net: net.queue.append(3),
    "array": lambda net: net.array.fill(1),
    "array of objects": lambda net: net.objects[0].append(2) or net.objects.fill(None),
    "plain": lambda net: vars(net.plain).update(count=1, other=2),
    "plain, inside": lambda net: net.plain.me.seen["pass"][0].add_(1),
    "plain, its dict": lambda net: setattr(net.plain, "__dict__", {"me": None}),
    "plain in a tuple": lambda net: setattr(net.pair[0], "count", 5),
    "slot": filled,
    "slot deleted": lambda net: delattr(net.slotted, "full"),
    "inside a slot": lambda net: net.slotted.full[0].zero_(),
    "inside partial": lambda net: net.part.args[0].clear(),
}


def picture(thing, seen):
    """Everything about a thing, by identity and by value."""
    if id(thing) in seen:
        return id(thing)
    seen[id(thing)] = thing
    parts = [id(thing), type(thing)]
    if isinstance(thing, torch.Tensor):
        parts += [thing.dtype, thing.shape, thing.stride(), thing.data_ptr()]
        parts += [torch.empty(0, dtype=torch.uint8).set_(thing.untyped_storage()).tolist()]
        parts += [thing.requires_grad, thing.is_leaf, thing._backward_hooks, thing._post_accumulate_grad_hooks]
        parts += [picture(thing.grad, seen)] if thing.is_leaf else []
    elif isinstance(thing, np.ndarray):
        parts += [thing.tobytes()] + [picture(item, seen) for item in thing.flat if thing.dtype == object]
    elif isinstance(thing, dict):
        parts += [(id(key), picture(value, seen)) for key, value in thing.items()]
    elif isinstance(thing, (list, tuple, deque)):
        parts += [picture(item, seen) for item in thing]
    elif isinstance(thing, set):
        parts += [{id(item) for item in thing}]
    elif isinstance(thing, functools.partial):
        parts += [picture(thing.args, seen)]
    elif isinstance(thing, Slotted):
        parts += [picture(getattr(thing, name, None), seen) for name in Slotted.__slots__]
    if isinstance(thing, (nn.Module, torch.Tensor, Plain)):
        parts += [picture(vars(thing), seen)]
    return parts


def network() -> Any:
    """One with gradients."""
    net = Net()
    trained(net)
    return net


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_everything_is_put_back(change):
    net = network()
    keep: dict[int, Any] = {}  # no address is given away twice
    before = picture(net, keep)
    logits = copy.deepcopy(net).eval()(X)
    state = Snapshot(net)
    for context in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with torch.no_grad() if change is CHANGES["buffer in place"] else torch.enable_grad():
            change(net)
        assert picture(net, {}) != before
        with context():
            state.restore()
        assert picture(net, {}) == before
    for same in [net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))]:
        torch.testing.assert_close(same.eval()(X), logits, rtol=0, atol=0)
        same.zero_grad()
        same(X).sum().backward()
        assert all(p.grad.any() for p in same.body[3].parameters())
        assert same.body[0].weight.grad.any()


def test_what_has_not_changed_is_not_written():
    net = network()
    tensors = [*net.parameters(), *net.buffers(), *net.lists["a"]]
    versions = [t._version for t in tensors]
    with torch.inference_mode():
        state = Snapshot(net)
    graph = (net.body[0].weight * net.body[0].weight).sum()
    net.mean.add_(1)
    net.body[0].weight.data.mul_(2)
    state.restore()
    versions[[t is net.mean for t in tensors].index(True)] += 1  # by add_
    assert [t._version for t in tensors] == versions
    (gradient,) = torch.autograd.grad(graph, net.body[0].weight)  # which saved the old contents
    assert torch.equal(gradient, 2 * net.body[0].weight)


def test_without_tensors_only_identities_are_kept():
    net = network()
    mean, weight = net.mean, net.body[0].weight
    state = Snapshot(net, tensors=False)
    net.mean.fill_(5.0)
    net.double().cache = 1
    net.array.fill(7)
    net.mean = torch.zeros(3)
    state.restore()
    assert not hasattr(net, "cache") and net.mean is mean and net.body[0].weight is weight
    assert weight.dtype == torch.float32 and (mean == 5).all() and (net.array == 7).all()


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning", "ignore:Lazy modules:UserWarning")
def test_weight_norm_of_old_and_lazy_modules():
    """One computes its weight into an attribute, by a hook; the other changes its class, and that of its parameters."""
    net: Any = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), nn.LazyLinear(2))
    weight, contents = net[0].weight, net[0].weight.detach().clone()
    lazy = net[1].weight
    state = Snapshot(net)
    for _ in range(2):
        net(X)
        net[0].weight_v.data.zero_()
        assert net[0].weight is not weight and type(net[1]) is nn.Linear
        with torch.no_grad():
            weight.zero_()
        state.restore()
        assert net[0].weight is weight and weight.grad_fn is not None and torch.equal(weight, contents)
        assert type(net[1]) is nn.LazyLinear and net[1].weight is lazy
        assert type(lazy) is nn.parameter.UninitializedParameter
    net(X).sum().backward()
    assert net[0].weight_g.grad.any() and net[1].weight.grad.any()


class Raising:
    def __getattribute__(self, name):
        raise RuntimeError(name)


class Stubborn:
    """Its dict can be neither replaced nor found twice."""

    @property
    def __dict__(self):  # type: ignore[override]
        return {"fresh": object()}


class Wrapper(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError("intercepted")


@pytest.mark.filterwarnings("ignore:.*(torch.ao.quantization|quantize_per_tensor|Sparse|nested tensors).*")
def test_odd_objects_are_left_alone(tmp_path):
    net = network()
    with torch.inference_mode():
        net.inference = torch.ones(3)
    with (tmp_path / "file").open("w") as file:
        odd = [Raising(), Stubborn(), threading.RLock(), file, (i for i in range(3)), iter([1]), logging.getLogger()]
        odd += [functools.lru_cache(lambda: 1), weakref.ref(net), weakref.WeakKeyDictionary(), threading.local()]
        odd += [
            torch.eye(3).to_sparse(),
            torch.empty(2, device="meta"),
            torch.quantize_per_tensor(X, 1, 0, torch.qint8),
        ]
        odd += [
            torch.ones(3).as_subclass(Wrapper),
            torch.nested.nested_tensor([X, X[:2]]),
            torch.Generator(),
            np.ma.ones(3),
        ]
        odd += [torch.empty(0), X.expand(2, 6, 4), X.to(torch.complex64).conj(), type, np, X.to(torch.float8_e4m3fn)]
        net.odd = odd
        now = [*odd]
        odd[9][net] = 1
        state = Snapshot(net)
        net.inference = None
        next(odd[4])
        del odd[9][net]
        odd.reverse()
        state.restore()
        assert all(a is b for a, b in zip(net.odd, now, strict=True))
        assert next(odd[4]) == 1 and len(odd[9]) == 0
    assert net.inference.is_inference()


def test_contents_of_any_dtype_and_of_inference_tensors():
    net: Any = nn.Module()
    with torch.inference_mode():
        net.tensors = [torch.ones(3), X.to(torch.float8_e4m3fn), X.to(torch.complex64).conj(), X > 0, X[:, ::2]]
        net.tensors += [torch.quantize_per_tensor(X, 0.1, 0, torch.qint8)]
        before = [bytes(t.untyped_storage()) for t in net.tensors]
        state = Snapshot(net)
    for t in net.tensors:
        t.untyped_storage().fill_(0)
    net.tensors[0].untyped_storage().resize_(100)
    state.restore()
    assert [bytes(t.untyped_storage()) for t in net.tensors] == before
