"""What a network holds, put back after a forward pass that may have changed it.

The walk starts at the model and follows attributes, containers and plain objects. For all that can change in place it
keeps a function that puts the old state back. Contents of tensors are kept and compared as the bytes of their storages:
dtypes, views and NaN need no care, and writing bumps no version, so that older graphs find the values they saved.
"""

import gc
import io
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import _lru_cache_wrapper, partial
from operator import is_
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, UntypedStorage, nn

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, type, FunctionType, BuiltinFunctionType})
# The base's own methods are called, so that a subclass's do not notice; dict's would break the order of an OrderedDict.
CONTAINERS = (OrderedDict, dict, list, set, deque)
ALONE = (type, ModuleType, FunctionType, _lru_cache_wrapper, io.IOBase, random.Random, Enum, UntypedStorage)
# What objects of these packages hold goes along with threads, processes, finalizers or compiled code.
MACHINERY = {"_weakrefset", "asyncio", "concurrent", "logging", "multiprocessing", "queue", "subprocess", "threading"}
MACHINERY |= {"weakref", "torch._dynamo", "torch._inductor"}
OF_LEAVES = ("grad", "_backward_hooks", "_post_accumulate_grad_hooks")
Aspect = tuple[Callable[[], None] | None, Iterable[Any]]  # what puts it back; what it refers to


class Snapshot:
    """What a network holds: parameters, buffers, attributes, hooks, and the contents of everything it refers to.

    Without `tensors`, contents of tensors and arrays are neither kept nor put back.
    """

    def __init__(self, model: nn.Module, tensors: bool = True):
        self._undos: list[Callable[[], None]] = []
        self._empty: list[Any] = []  # containers without items, most of them a module's hooks
        self._contents: dict[int, tuple[UntypedStorage, Tensor]] = {}
        seen: dict[int, Any] = {}  # the things too, so that no id is given away twice
        traits: dict[type, tuple[Any, list] | None] = {}
        stack: list[Any] = [model, *model.parameters(), *model.buffers()]  # a ScriptModule's are no attributes
        # The last, because subclasses of tensors may intercept functions.
        with torch.inference_mode(False), torch.no_grad(), torch._C.DisableTorchFunction():
            while stack:
                thing = stack.pop()
                kind = type(thing)  # isinstance would ask the thing, which may be a proxy
                if kind in ATOMS or id(thing) in seen:
                    continue
                seen[id(thing)] = thing
                try:
                    known = traits[kind] if kind in traits else traits.setdefault(kind, _traits(kind))
                    if kind in CONTAINERS and not thing:
                        self._empty.append(thing)
                        continue
                    for undo, references in _aspects(thing, kind, known, tensors) if known else ():
                        stack.extend(references)
                        self._undos += [undo] if undo else []
                except MemoryError:
                    raise
                except Exception:  # an odd object, whose attributes raise for example
                    continue
                if tensors and issubclass(kind, Tensor) and _is_simple(thing):  # if this raises, memory has run out
                    storage = thing.untyped_storage()
                    if storage._cdata not in self._contents:
                        self._contents[storage._cdata] = storage, _bytes(storage).clone()

    def restore(self) -> None:
        """Put everything back, as often as wanted. What is as it was is not written."""
        with torch.inference_mode(False), torch.no_grad(), torch._C.DisableTorchFunction():
            if any(self._empty):
                for container in self._empty:
                    container.clear()
            for undo in self._undos:
                try:  # noqa: SIM105 - there are thousands of them, and suppress takes longer than most
                    undo()
                except Exception:  # an odd object is left alone
                    pass
            for storage, saved in self._contents.values():
                if storage.nbytes() != saved.nbytes:
                    storage.resize_(saved.nbytes)
                now = _bytes(storage)
                if not torch.equal(now, saved):
                    now.copy_(saved)


def _traits(kind: type) -> tuple[Any, list[MemberDescriptorType]] | None:
    """The container that a class's instances are, if any, and their slots. None: they are left alone."""
    packages = {".".join(str(k.__module__).split(".")[:parts]) for k in kind.__mro__ for parts in (1, 2)}
    if issubclass(kind, ALONE) or (packages & MACHINERY and not issubclass(kind, nn.Module)):
        return None
    members = [member for k in kind.__mro__ if "__slots__" in vars(k) for member in vars(k).values()]
    base = next((base for base in CONTAINERS if issubclass(kind, base)), None)
    return base, [member for member in members if type(member) is MemberDescriptorType]


def _aspects(thing: Any, kind: type, traits: tuple[Any, list], tensors: bool) -> Iterator[Aspect]:
    """Whatever can change of a thing."""
    base, slots = traits
    if base:
        items = list(base.__iter__(thing))
        values = list(base.values(thing)) if issubclass(base, dict) else []
        yield partial(_set_items, thing, base, items, values), items + values
    elif issubclass(kind, (tuple, frozenset, MethodType, partial)):
        yield None, gc.get_referents(thing)
    elif issubclass(kind, np.ndarray):
        plain = thing.view(np.ndarray)
        if tensors or plain.dtype == object:
            yield partial(_set_array, thing, plain.copy()), plain.flat if plain.dtype == object else ()
    elif issubclass(kind, Tensor):
        yield _tensor_undo(thing), ()
        if thing.is_leaf:  # hooks of a tensor with a graph belong to the graph
            old = [getattr(thing, name) for name in OF_LEAVES]
            if thing.grad is not None:  # it is put back first: a gradient must fit its tensor
                yield _tensor_undo(thing.grad), ()
            yield partial(_set_of_leaf, thing, old), old
    if kind.__dictoffset__ or slots:
        attributes = object.__getattribute__(thing, "__dict__") if kind.__dictoffset__ else None
        held = [_slot(thing, slot) for slot in slots]
        yield partial(_set_attributes, thing, kind, attributes, slots, held), [attributes, *held]


def _set_items(thing: Any, base: Any, items: list, values: list) -> None:
    same = base.__len__(thing) == len(items) and all(map(is_, base.__iter__(thing), items))
    if same and (not values or all(map(is_, base.values(thing), values))):
        return
    base.clear(thing)
    if issubclass(base, dict):
        for key, value in zip(items, values, strict=True):
            base.__setitem__(thing, key, value)
    else:
        (base.update if base is set else base.extend)(thing, items)


def _set_array(array: np.ndarray, saved: np.ndarray) -> None:
    if array.shape != saved.shape:
        array.resize(saved.shape, refcheck=False)
    plain = array.view(np.ndarray)
    same = all(map(is_, plain.flat, saved.flat)) if saved.dtype.hasobject else plain.tobytes() == saved.tobytes()
    if not same:
        plain[...] = saved


def _tensor_undo(tensor: Tensor) -> Callable[[], None]:
    place = (tensor.data, _place(tensor)) if _is_simple(tensor) else None
    return partial(_set_tensor, tensor, place, tensor.is_leaf, tensor.requires_grad)


def _set_tensor(tensor: Tensor, place: tuple[Tensor, tuple] | None, leaf: bool, requires_grad: bool) -> None:
    if place and _place(tensor) != place[1]:
        tensor.data = place[0]
    if leaf and not tensor.is_leaf:  # changed in place by something that requires gradients
        tensor.detach_()
    if leaf and tensor.requires_grad != requires_grad:
        tensor.requires_grad_(requires_grad)


def _set_of_leaf(tensor: Tensor, saved: list) -> None:
    for name, old in zip(OF_LEAVES, saved, strict=True):
        now = getattr(tensor, name)
        if now is not old:
            if name != "grad" and now:
                now.clear()  # autograd may still hold these hooks
            setattr(tensor, name, old)


def _set_attributes(thing: Any, kind: type, attributes: dict | None, slots: list, held: list) -> None:
    if type(thing) is not kind:  # a lazy module or parameter changes its class
        object.__setattr__(thing, "__class__", kind)
    if attributes is not None and object.__getattribute__(thing, "__dict__") is not attributes:
        object.__setattr__(thing, "__dict__", attributes)
    for slot, old in zip(slots, held, strict=True):
        if _slot(thing, slot) is not old:
            slot.__delete__(thing) if old is slot else slot.__set__(thing, old)


def _slot(thing: Any, slot: MemberDescriptorType) -> Any:
    """What a slot holds; the slot itself if it is empty."""
    try:
        return slot.__get__(thing)
    except AttributeError:
        return slot


def _is_simple(tensor: Tensor) -> bool:
    """Whether a tensor is a window on a storage whose bytes can be read and written."""
    try:
        wrapper = type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__
        if wrapper or tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta:
            return False
        return tensor.untyped_storage().nbytes() == 0 or tensor.untyped_storage().data_ptr() != 0
    except Exception:
        return False


def _bytes(storage: UntypedStorage) -> Tensor:
    dtype = torch.uint8 if storage.nbytes() % 8 else torch.int64  # the wider are compared faster
    return torch.empty(0, dtype=dtype, device=storage.device).set_(storage)


def _place(tensor: Tensor) -> tuple:
    """Which part of which storage a tensor shows."""
    return tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.size(), tensor.stride(), tensor.dtype
