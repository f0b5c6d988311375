"""Ways to compute the empirical NTK, and the process that measures one of them.

Each approach is a function of a torch model in evaluation mode, samples x (n, …) and a kernel's name: "sum" (the summed
logits) or "trace" (mean over outputs). It prepares, which may include a compilation, and returns the call to measure,
whose result is the kernel (n, n). Those of neural-tangents know the paper's CNN alone. `ntk_process.py` starts this
file once per measurement, pinned to its cores, with the task as JSON on the command line.
"""

import ctypes
import functools
import gc
import importlib
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, vjp, vmap

sys.path.append(str(Path(__file__).parents[1] / "workflow" / "scripts"))  # PYTHONPATH may name another version
from machine import available_bytes, peak_bytes, reset_peak, resident_bytes
from reactivation.ntk.kernel import empirical_ntk
from reactivation.training.networks import cnn

LONG, LONG_IN_ZOO = 60, 5  # seconds: a first call that takes longer is itself the measurement


# ---------------------------------------------------------------------------------------------------- torch
def ours(model: nn.Module, x: torch.Tensor, kernel: str) -> Callable:
    """This repository's `empirical_ntk`."""
    return lambda: empirical_ntk(model, x, kernels=(kernel,), prove=False)[kernel]


def loop(model: nn.Module, x: torch.Tensor, kernel: str) -> Callable:
    """One backward pass per image (and output), then a double loop of dot products.

    This is the definition: in float64 it is the reference. The outer loop is over outputs, so it holds n gradients.
    In the reference each image stands twice in its batch: torch's backward pass of a batch norm is wrong on a CPU for a
    batch of one whose gradient is a transposed view, as in the stems of XCiT and LeViT.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    copies = 2 if parameters[0].dtype == torch.float64 else 1

    def gradient(image, output):
        logits = model(torch.stack([image] * copies))[0]
        value = logits.sum() if output is None else logits[output]
        return torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters, materialize_grads=True)])

    def call():
        with torch.no_grad():
            outputs = [None] if kernel == "sum" else range(model(x[:1]).shape[1])
        k = torch.zeros(len(x), len(x), dtype=torch.float64)
        for output in outputs:
            gradients = [gradient(image, output) for image in x]
            for i, g in enumerate(gradients):
                for j in range(i + 1):
                    k[i, j] += torch.dot(g, gradients[j]).item()
        return (k + k.tril(-1).T) / len(outputs)

    return call


def functional(model: nn.Module, kernel: str) -> tuple[Callable, dict[str, torch.Tensor]]:
    """f(parameters, one image), which returns the logits (C,), or for `sum` their sum (1,); and the parameters."""

    def f(parameters, image):
        logits = functional_call(model, parameters, (image[None],))[0]
        return logits.sum(0, keepdim=True) if kernel == "sum" else logits

    return f, {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def torch_jacobian(model: nn.Module, x: torch.Tensor, kernel: str) -> Callable:
    """Jacobian contraction, the first way of PyTorch's tutorial on neural tangent kernels."""
    f, parameters = functional(model, kernel)
    single = {"sum": grad(lambda p, image: f(p, image)[0]), "trace": jacrev(f)}[kernel]
    letters = {"sum": "nf,mf->nm", "trace": "ncf,mcf->nm"}[kernel]

    def call():
        jacobian = [j.flatten(letters.index("f")) for j in vmap(single, (None, 0))(parameters, x).values()]
        k = sum(torch.einsum(letters, j, j) for j in jacobian)
        return k / (jacobian[0].shape[1] if kernel == "trace" else 1)

    return call


def torch_vp(model: nn.Module, x: torch.Tensor, kernel: str) -> Callable:
    """NTK-vector products, the tutorial's second way, one row of the kernel at a time.

    The tutorial takes all n² pairs of images at once: n times the memory, which only the smallest widths allow.
    """
    f, parameters = functional(model, kernel)

    def pair(image1, image2):
        output, pullback, *_ = vjp(lambda p: f(p, image1), parameters)
        basis = torch.eye(len(output), dtype=x.dtype, device=x.device)
        products = vmap(lambda v: jvp(lambda p: f(p, image2), (parameters,), pullback(v))[1])(basis)
        return products.trace() / len(output)

    return lambda: vmap(vmap(pair, (None, 0)), (0, None), chunk_size=1)(x, x)


# ----------------------------------------------------------------------------------------------- nngeometry
def summed(model: nn.Module, kernel: str) -> Callable:
    """The model as nngeometry calls it, with its logits summed for `sum`."""
    return lambda *batch: model(batch[0]).sum(1, keepdim=True) if kernel == "sum" else model(batch[0])


def nngeometry_jacobian(model: nn.Module, x: torch.Tensor, kernel: str) -> Callable:
    """nngeometry's dense Jacobian (C, n, parameters), contracted."""
    from nngeometry.jacobian import Jacobian

    def call():
        jacobian = Jacobian(model, (x.clone(),), function=summed(model, kernel)).to_torch()
        return (jacobian @ jacobian.mT).mean(0)  # einsum over both would copy the Jacobian

    return call


def nngeometry_gram(model: nn.Module, x: torch.Tensor, kernel: str) -> Callable:
    """nngeometry's Gram matrix (C, n, C, n), made layer by layer and pair of outputs by pair of outputs."""
    from nngeometry.gram import GramMatrix

    def call():
        gram = GramMatrix(model, (x.clone(),), function=summed(model, kernel)).to_torch()
        return gram.diagonal(dim1=0, dim2=2).mean(-1)

    return call


# ------------------------------------------------------------------------------------------ neural-tangents
def let_neural_tangents_import() -> None:
    """Give neural-tangents 0.6.5 what it imports and newer versions of JAX no longer offer.

    Its import asks for TensorFlow, which only its converter of TensorFlow models needs.
    """
    for name in ("tensorflow", "tf2jax", "jax.experimental.jax2tf"):
        sys.modules.setdefault(name, MagicMock())
    jax = importlib.import_module("jax")
    jax.interpreters.ad.source_info_util = importlib.import_module("jax._src.source_info_util")
    jax.interpreters.ad.config = jax.config
    # AUTO compares implementations by their flops, and looks for them in a list that is now a dictionary.
    empirical: Any = importlib.import_module("neural_tangents._src.empirical")
    empirical._get_flops = lambda f, optimize, *x: jax.jit(f).lower(*x).compile().cost_analysis()["flops"]


def jax_cnn(parameters: list, x):
    """The paper's CNN in JAX, channels last, which XLA multiplies fastest on a CPU: logits (n, C)."""
    from jax import lax, nn

    for weight, bias in parameters[:-1]:
        x = lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = lax.reduce_window(nn.relu(x + bias), -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    weight, bias = parameters[-1]
    return x.reshape(len(x), -1) @ weight + bias


def jax_copy(model: nn.Module, x: torch.Tensor) -> tuple[list, object]:
    """Parameters and images for `jax_cnn`, whose logits are checked against the model's."""
    import jax.numpy as jnp

    parameters: list[Any] = []
    with torch.no_grad():
        for layer in model.children():
            if isinstance(layer, nn.Conv2d):
                parameters.append((layer.weight.permute(2, 3, 1, 0), layer.bias))
            elif isinstance(layer, nn.Linear):
                last = parameters[-1][1].numel()
                size = int((layer.in_features // last) ** 0.5)
                weight = layer.weight.unflatten(1, (last, size, size)).permute(2, 3, 1, 0).flatten(0, 2)
                parameters.append((weight, layer.bias))
        parameters = [tuple(jnp.array(p.contiguous().numpy()) for p in pair) for pair in parameters]
        images = jnp.array(x.permute(0, 2, 3, 1).contiguous().numpy())
        expected = model(x).numpy()
    if not np.allclose(jax_cnn(parameters, images), expected, atol=1e-4 * np.abs(expected).max()):
        raise RuntimeError("the network in JAX has other logits than the model")
    return parameters, images


def neural_tangents(model: nn.Module, x: torch.Tensor, kernel: str, *, implementation: int) -> Callable:
    """One of neural-tangents' implementations, compiled."""
    import jax
    import neural_tangents as nt

    parameters, images = jax_copy(model, x)
    f, trace_axes = (lambda p, x: jax_cnn(p, x).sum(1), ()) if kernel == "sum" else (jax_cnn, (-1,))
    ntk = nt.empirical_ntk_fn(f, trace_axes=trace_axes, vmap_axes=0, implementation=implementation)
    if implementation == nt.NtkImplementation.NTK_VECTOR_PRODUCTS:
        # One row at a time: the default, all n² pairs of images at once, fits only at the smallest widths.
        call = jax.jit(lambda p, x: jax.lax.map(lambda image: ntk(image[None], x, p)[0], x))
    else:
        call = jax.jit(lambda p, x: ntk(x, None, p))
    compiled = call.lower(parameters, images).compile()
    needed = compiled.memory_analysis().temp_size_in_bytes
    if needed > available_bytes():
        raise MemoryError(f"XLA asks for allocating {needed} bytes")
    return lambda: np.asarray(compiled(parameters, images))


APPROACHES: dict[str, Callable] = {
    "ours": ours,
    "loop": loop,
    "torch-jacobian": torch_jacobian,
    "torch-vp": torch_vp,
    "nt-jacobian": functools.partial(neural_tangents, implementation=1),
    "nt-vp": functools.partial(neural_tangents, implementation=2),
    "nt-structured": functools.partial(neural_tangents, implementation=3),
    "nt-auto": functools.partial(neural_tangents, implementation=0),
    "nngeometry-jacobian": nngeometry_jacobian,
    "nngeometry-gram": nngeometry_gram,
}
PACKAGES = {"nt": ("jax", "neural_tangents"), "nngeometry": ("nngeometry",)}  # by the first word of the approach


# -------------------------------------------------------------------------------------------------- measuring
def network(spec: dict) -> tuple[nn.Module, torch.Tensor]:
    """The same weights and samples for every approach, in the precision and on the device that `spec` names."""
    torch.manual_seed(0)
    where = {"dtype": getattr(torch, spec["dtype"]), "device": spec["device"]}
    if "network" in spec:  # one of the zoo
        model, x = importlib.import_module("zoo_networks").network(spec["network"], spec["classes"], spec["samples"])
    else:
        model, x = cnn(spec["width"], image_size=32, classes=spec["classes"]), torch.from_numpy(np.load(spec["images"]))
    return model.to(**where).eval(), x.to(**where) if x.is_floating_point() else x.to(spec["device"])


def measured(
    call: Callable, device: str, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, float, np.ndarray]:
    """Seconds and extra peak memory (bytes) of one call, and its result in float64."""
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, peak = torch.cuda.memory_allocated(), lambda: torch.cuda.max_memory_allocated()
    else:
        ctypes.CDLL(None).malloc_trim(0)  # memory that an earlier call left in the heap would hide what this one takes
        reset_peak()
        before, peak = resident_bytes(), peak_bytes
    began = clock()
    result = call()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = clock() - began
    extra = peak() - before
    return seconds, extra, torch.as_tensor(result).detach().double().cpu().numpy()


def measure(spec: dict) -> dict:
    """Median time and largest extra memory of an approach; its kernel's error if there is a reference.

    The zoo's times are the processor's, which depend less on what else the machine does than those of a clock.
    """
    clock, long = (time.process_time, LONG_IN_ZOO) if "network" in spec else (time.perf_counter, LONG)
    model, x = network(spec)
    began = time.perf_counter()
    call = APPROACHES[spec["approach"]](model, x, spec["kernel"])
    compilation = time.perf_counter() - began
    runs = [measured(call, spec["device"], clock)]
    if runs[0][0] <= long and spec["repeats"]:
        runs = [measured(call, spec["device"], clock) for _ in range(spec["repeats"])]
    seconds, extra, kernels = zip(*runs, strict=True)
    result = {"seconds": statistics.median(seconds), "repeats": len(runs), "extra": max(extra)}
    result["parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if spec["approach"].startswith("nt-"):
        result["compilation"] = compilation
    if spec["save"]:
        np.save(spec["save"], kernels[-1])
    if spec["reference"]:
        reference = np.load(spec["reference"])
        result["error"] = float(np.abs(kernels[-1] - reference).max() / np.abs(reference).max())
    return result


def gemm_rates(device: str, size: int = 2048) -> dict[str, float]:
    """Flops per second of a product of two square matrices, the best of five, by precision."""
    rates = {}
    for dtype in ("float32", "float64"):
        a = torch.ones(size, size, dtype=getattr(torch, dtype), device=device)
        rates[dtype] = 2 * size**3 / min(measured(lambda a=a: (a @ a)[0], device)[0] for _ in range(5))
    return rates


def asked_bytes(error: BaseException) -> float | None:
    """How much memory was asked of the allocator that raised `error`; None if it is another error."""
    match = re.search(r"allocat\w* ([\d.]+) ?(bytes|[KMGT]iB)", str(error))
    if not match:
        return None
    return float(match[1]) * 1024 ** ["bytes", "KiB", "MiB", "GiB", "TiB"].index(match[2])


def outcome(spec: dict) -> dict:
    """What `measure` returns, or a `note` that says why there is nothing to return."""
    family = spec["approach"].split("-")[0]
    torch.set_num_threads(spec["threads"])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if family == "gemm":
        return gemm_rates(spec["device"])
    if family == "nt" and spec["device"] == "cuda":
        return {"note": "CPU only"}
    try:
        if family == "nt":
            let_neural_tangents_import()
        for package in PACKAGES.get(family, ()):
            importlib.import_module(package)
    except ModuleNotFoundError:
        return {"note": "not installed"}
    try:
        return measure(spec)
    except Exception as error:
        asked = asked_bytes(error)
        if asked is None:
            said = "refused" if spec["approach"] == "ours" and isinstance(error, ValueError) else "error"
            return {"note": f"{said}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}
        held = torch.cuda.memory_allocated() if spec["device"] == "cuda" else resident_bytes()
        return {"note": f"does not fit ({(asked + held) / 1e9:.1f} GB)"}


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    Path(task["result"]).write_text(json.dumps(outcome(task)))
