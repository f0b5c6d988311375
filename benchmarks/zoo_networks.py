"""Public architectures with random weights, small enough that a kernel takes seconds, and samples for them.

Images are 64 pixels high and wide where the architecture allows it, texts 16 tokens long. Nothing is zero by accident:
`shaken` gives random values to all that a new network sets to a constant.
"""

import functools
import importlib
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrizations

from reactivation.data.sources import import_torchvision_datasets
from reactivation.training.networks import cnn

Make = Callable[[int], nn.Module]  # from the number of logits

VOCABULARY, TOKENS = 200, 16
PADDING = 0  # no sample has this token; transformers' classifiers look for the last token that is another


def package(name: str) -> Any:
    """A module of torchvision, timm or transformers; the other two import torchvision too."""
    import_torchvision_datasets()
    return importlib.import_module(name)


# ------------------------------------------------------------------------------------------------ torchvision


def of_torchvision(name: str, **options: Any) -> Make:
    return lambda classes: getattr(package("torchvision.models"), name)(num_classes=classes, weights=None, **options)


def vgg11(classes: int) -> nn.Module:
    """With a head of 512 units instead of 4096: the Jacobian of that one would take 40 GB."""
    model = package("torchvision.models").vgg11()
    head = [nn.Linear(512 * 7 * 7, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, 512), nn.ReLU(), nn.Dropout()]
    model.classifier = nn.Sequential(*head, nn.Linear(512, classes))
    return model


def convnext(classes: int) -> nn.Module:
    module = package("torchvision.models.convnext")
    stages = [(48, 96, 2), (96, 192, 2), (192, 384, 4), (384, None, 2)]
    return module.ConvNeXt([module.CNBlockConfig(*stage) for stage in stages], num_classes=classes)


def vision_transformer(classes: int) -> nn.Module:
    vit = package("torchvision.models.vision_transformer").VisionTransformer
    return vit(64, 8, num_layers=6, num_heads=3, hidden_dim=192, mlp_dim=768, num_classes=classes)


def swin(classes: int, block: str, merging: str) -> nn.Module:
    module = package("torchvision.models.swin_transformer")
    sizes: dict[str, Any] = {"embed_dim": 48, "depths": [2, 2, 4], "num_heads": [2, 4, 8], "window_size": [4, 4]}
    blocks = {"block": getattr(module, block), "downsample_layer": getattr(module, merging)}
    return module.SwinTransformer([4, 4], num_classes=classes, **sizes, **blocks)


def maxvit(classes: int) -> nn.Module:
    sizes: dict[str, Any] = {"block_channels": [32, 64], "block_layers": [1, 2], "head_dim": 16, "partition_size": 4}
    return package("torchvision.models").MaxVit((64, 64), 32, stochastic_depth_prob=0.0, num_classes=classes, **sizes)


# ------------------------------------------------------------------------------------------------------- timm
def of_timm(name: str, **options: Any) -> Make:
    return lambda classes: package("timm").create_model(name, num_classes=classes, **options)


def mixer(classes: int) -> nn.Module:
    module = package("timm.models.mlp_mixer")
    return module.MlpMixer(classes, img_size=64, patch_size=8, num_blocks=4, embed_dim=192)


def bit(classes: int) -> nn.Module:
    """BiT's residual network: standardised weights, group normalization, activation before convolution."""
    module = package("timm.models.resnetv2")
    return module.ResNetV2([1, 2, 2, 1], (128, 256, 512, 1024), num_classes=classes, stem_type="fixed")


def attention_biases(part: Any, device: torch.device) -> Tensor:
    return part.attention_biases[:, part.attention_bias_idxs]


def levit(classes: int) -> nn.Module:
    """Without the cache of attention biases, which cuts them off from all gradients but those of the first call."""
    model = of_timm("levit_128s", img_size=64)(classes)
    for part in model.modules():
        if hasattr(part, "attention_bias_cache"):
            vars(part)["get_attention_biases"] = functools.partial(attention_biases, part)
    return model


def caformer(classes: int) -> nn.Module:
    module = package("timm.models.metaformer")
    mixers = [module.SepConv, module.SepConv, module.Attention, module.Attention]
    return module.MetaFormer(
        num_classes=classes,
        depths=(1, 1, 3, 1),
        dims=(32, 64, 128, 256),
        token_mixers=mixers,
        norm_layers=[module.LayerNorm2dNoBias] * 2 + [module.LayerNormNoBias] * 2,
    )


# ----------------------------------------------------------------------------------------------- transformers
class Logits(nn.Module):
    """A network of transformers as a function from one tensor to the logits."""

    def __init__(self, network: nn.Module, pooled: int | None = None, classes: int = 0):
        super().__init__()
        self.network = network
        self.head = nn.Linear(pooled, classes) if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        output = self.network(x)
        return self.head(output.last_hidden_state.mean(1)) if self.head else output.logits


def of_transformers(family: str, what: str = "ForSequenceClassification", **options: Any) -> Make:
    """A classifier. Where the family has none (`what` names another model) a head gets the mean hidden state."""

    def make(classes: int) -> nn.Module:
        module = package("transformers")
        settings = {"eos_token_id": 1, "bos_token_id": 2, "pad_token_id": PADDING, "use_cache": False}
        config = getattr(module, f"{family}Config")(num_labels=classes, **settings, **options)
        model = getattr(module, family + what)(config)
        for part in model.modules():  # a warning about padding, which looks at the tokens; vmap cannot
            if hasattr(part, "warn_if_padding_and_no_attention_mask"):
                part.warn_if_padding_and_no_attention_mask = lambda *_: None
        return Logits(model) if "Classification" in what else Logits(model, config.hidden_size, classes)

    return make


BERT: dict[str, Any] = {
    **{"vocab_size": VOCABULARY, "max_position_embeddings": 32, "hidden_size": 128, "intermediate_size": 512},
    **{"num_hidden_layers": 3, "num_attention_heads": 4},
}
LLAMA: dict[str, Any] = {**BERT, "num_key_value_heads": 2}
PATCHES: dict[str, Any] = {**BERT, "image_size": 64, "patch_size": 8}
GPT2: dict[str, Any] = {"vocab_size": VOCABULARY, "n_positions": 32, "n_embd": 128, "n_layer": 3, "n_head": 4}
DISTILBERT: dict[str, Any] = {"vocab_size": VOCABULARY, "max_position_embeddings": 32, "dim": 128, "hidden_dim": 512}
T5: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 128,
    "d_kv": 32,
    "d_ff": 512,
    "num_layers": 3,
    "num_heads": 4,
}
DEBERTA: dict[str, Any] = {
    "relative_attention": True,
    "position_buckets": 8,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
}
MAMBA: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": 96, "num_hidden_layers": 2, "state_size": 8}


# -------------------------------------------------------------------------------------------------- hand-made
class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Tensor:
        return self.function(x)


class LowRank(nn.Module):
    """A layer as LoRA adapts it: weight W + BA, with A and B of rank 4."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.base = nn.Linear(inputs, outputs)
        self.down = nn.Parameter(torch.randn(4, inputs) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(outputs, 4))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.base.weight + self.up @ self.down, self.base.bias)


def transformer_encoder(classes: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    mean = Apply(lambda hidden: hidden.mean(1))
    return nn.Sequential(nn.Embedding(VOCABULARY, 128), encoder, mean, nn.Linear(128, classes))


def recurrent(classes: int, kind: type[nn.Module]) -> nn.Module:
    last = Apply(lambda output: output[0][:, -1])
    network = kind(64, 128, num_layers=2, batch_first=True)
    return nn.Sequential(nn.Embedding(VOCABULARY, 64), network, last, nn.Linear(128, classes))


def convolution_3d(classes: int) -> nn.Module:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv3d(inputs, outputs, 3, padding=1), nn.BatchNorm3d(outputs), nn.ReLU(), nn.MaxPool3d(2)]

    layers = [*block(3, 16), *block(16, 32), *block(32, 64)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, classes))


def autoencoder(classes: int) -> nn.Module:
    """Encoder and decoder of strided convolutions, and a linear layer on the picture that comes out."""
    down = [nn.Conv2d(3, 32, 4, 2, 1), nn.GELU(), nn.Conv2d(32, 64, 4, 2, 1), nn.GELU()]
    up = [nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.GELU(), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()]
    return nn.Sequential(*down, *up, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * 8 * 8, classes))


def low_rank(classes: int) -> nn.Module:
    sizes = (3 * 32 * 32, 256, 256, classes)
    layers = [[LowRank(a, b), nn.Tanh()] for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(nn.Flatten(), *[module for pair in layers for module in pair][:-1])


def parametrized(classes: int, by: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Convolutions and a linear layer whose weights are functions of parameters."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 64)):
        layers += [by(nn.Conv2d(inputs, outputs, 3, padding=1)), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), by(nn.Linear(64 * 4 * 4, classes)))


def paper(classes: int, width: int) -> nn.Module:
    return cnn(width, 32, classes)


# ----------------------------------------------------------------------------------------------- all networks
IMAGE, SMALL, TEXT = (3, 64, 64), (3, 32, 32), (TOKENS,)
NETWORKS: dict[str, tuple[Make, tuple[int, ...]]] = {  # how it is made, and the shape of a sample
    "resnet18": (of_torchvision("resnet18"), IMAGE),
    "resnext50": (of_torchvision("resnext50_32x4d"), IMAGE),
    "vgg11": (vgg11, IMAGE),
    "densenet121": (of_torchvision("densenet121"), IMAGE),
    "densenet121 in less memory": (of_torchvision("densenet121", memory_efficient=True), IMAGE),
    "mobilenet_v2": (of_torchvision("mobilenet_v2"), IMAGE),
    "mobilenet_v3_small": (of_torchvision("mobilenet_v3_small"), IMAGE),
    "efficientnet_b0": (of_torchvision("efficientnet_b0"), IMAGE),
    "convnext": (convnext, IMAGE),
    "vit": (vision_transformer, IMAGE),
    "swin": (functools.partial(swin, block="SwinTransformerBlock", merging="PatchMerging"), IMAGE),
    "swin_v2": (functools.partial(swin, block="SwinTransformerBlockV2", merging="PatchMergingV2"), IMAGE),
    "maxvit": (maxvit, IMAGE),
    "shufflenet_v2": (of_torchvision("shufflenet_v2_x1_0"), IMAGE),
    "squeezenet": (of_torchvision("squeezenet1_1"), IMAGE),
    "regnet_y": (of_torchvision("regnet_y_400mf"), IMAGE),
    "mnasnet": (of_torchvision("mnasnet0_5"), IMAGE),
    "googlenet": (of_torchvision("googlenet", aux_logits=False, init_weights=False), IMAGE),
    "inception_v3": (of_torchvision("inception_v3", aux_logits=False, init_weights=False), (3, 80, 80)),
    "deit": (of_timm("deit_tiny_patch16_224", img_size=64, patch_size=8, depth=6), IMAGE),
    "beit": (of_timm("beit_base_patch16_224", img_size=64, embed_dim=192, depth=4, num_heads=3), IMAGE),
    "mixer": (mixer, IMAGE),
    "nf_regnet": (of_timm("nf_regnet_b0"), IMAGE),
    "bit": (bit, IMAGE),
    "convnext timm": (of_timm("convnext_atto"), IMAGE),
    "ghostnet": (of_timm("ghostnet_050"), IMAGE),
    "mobilevit": (of_timm("mobilevit_xxs"), IMAGE),
    "poolformer": (of_timm("poolformer_s12"), IMAGE),
    "caformer": (caformer, IMAGE),
    "xcit": (of_timm("xcit_nano_12_p16_224", img_size=64), IMAGE),
    "coat_lite": (of_timm("coat_lite_tiny", img_size=64), IMAGE),
    "levit": (levit, IMAGE),
    "edgenext": (of_timm("edgenext_xx_small"), IMAGE),
    "botnet": (of_timm("botnet26t_256", img_size=64), IMAGE),
    "bert": (of_transformers("Bert", **BERT), TEXT),
    "gpt2": (of_transformers("GPT2", **GPT2), TEXT),
    "llama": (of_transformers("Llama", **LLAMA), TEXT),
    "qwen3": (of_transformers("Qwen3", **LLAMA, head_dim=32), TEXT),
    "t5": (of_transformers("T5", "EncoderModel", **T5), TEXT),
    "distilbert": (of_transformers("DistilBert", **DISTILBERT, n_layers=3, n_heads=4), TEXT),
    "roberta": (of_transformers("Roberta", **BERT), TEXT),
    "albert": (of_transformers("Albert", **BERT, embedding_size=64), TEXT),
    "deberta": (of_transformers("DebertaV2", **BERT, **DEBERTA), TEXT),
    "mamba": (of_transformers("Mamba", "Model", **MAMBA), TEXT),
    "vit transformers": (of_transformers("ViT", "ForImageClassification", **PATCHES), IMAGE),
    "transformer encoder": (transformer_encoder, TEXT),
    "lstm": (functools.partial(recurrent, kind=nn.LSTM), TEXT),
    "gru": (functools.partial(recurrent, kind=nn.GRU), TEXT),
    "convolution 3d": (convolution_3d, (3, 8, 32, 32)),
    "autoencoder": (autoencoder, SMALL),
    "low rank": (low_rank, SMALL),
    "weight norm": (functools.partial(parametrized, by=parametrizations.weight_norm), SMALL),
    "spectral norm": (functools.partial(parametrized, by=parametrizations.spectral_norm), SMALL),
    "cnn 16": (functools.partial(paper, width=16), SMALL),
    "cnn 64": (functools.partial(paper, width=64), SMALL),
}


def set_statistics(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Give a batch norm the statistics of its input, changed at random."""
    mean, variance, x = norm.running_mean, norm.running_var, inputs[0].transpose(0, 1).flatten(1)
    if isinstance(mean, Tensor) and isinstance(variance, Tensor):
        mean.copy_(x.mean(1) + 0.1 * x.std(1) * torch.randn_like(mean))
        spread = x.var(1).clamp(min=0.1 * float(x.var(1).mean()))  # or a constant channel drowns all others
        variance.copy_(spread * torch.empty_like(variance).uniform_(0.5, 1.5))


@torch.no_grad()
def shaken(model: nn.Module, x: Tensor) -> nn.Module:
    """The network in evaluation mode, with random values in place of all that is constant or zero at first."""
    for p in model.parameters():
        if p.abs().max() < 1e-3:  # class tokens and layer scales among them
            p.normal_(0, 0.2)
        elif p.numel() > 1 and p.min() == p.max():
            p.mul_(torch.empty_like(p).uniform_(0.5, 1.5))
    norms = [module for module in model.eval().modules() if isinstance(module, _BatchNorm)]
    hooks = [norm.register_forward_pre_hook(set_statistics) for norm in norms]
    model(x)
    for hook in hooks:
        hook.remove()
    return model


def network(name: str, classes: int, samples: int) -> tuple[nn.Module, Tensor]:
    """A network and its samples, always the same for a name."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    x = torch.randint(3, VOCABULARY, (samples, *shape)) if shape == TEXT else torch.randn(samples, *shape)
    return shaken(make(classes), x), x
