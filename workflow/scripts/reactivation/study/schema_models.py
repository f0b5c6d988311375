"""The keys of networks, and of how they are trained."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from reactivation.study.values import LearningRate, Positive, Strict, no_bool


class Model(Strict):
    """Keys that all networks have. A network has one output per class of the data set."""

    width: Positive
    """Channels of every convolution (in resnet18, of the first stage, usually 64), or units of each hidden layer."""
    parametrization: Literal["pytorch", "standard", "ntk", "mup"] = "pytorch"
    """Initialisation, scaling and learning rates of layers: PyTorch's defaults; Kaiming normal (He et al. 2015);
    1/√fan-in in the forward pass (Jacot et al. 2018); maximal update (Yang et al. 2022)."""
    base_width: Positive = 64
    """For `mup` only: the width at which it equals `standard`, and from which initialisation and learning rates
    scale."""


class CNN(Model):
    """Three times [3×3 convolution, ReLU, 2×2 max-pooling], then one linear layer (the paper's)."""

    name: Literal["cnn"]


class CNNBatchNorm(Model):
    """Convolutions 5×5 and 3×3, 2×2 max-pooling, two more convolutions 3×3, none of them padded, each with batch
    normalization and ReLU; then two hidden layers (ReLU) and one linear layer. Width is the units of the hidden
    layers. Images need 16 pixels a side or more."""

    name: Literal["cnn_bn"]
    channels: Positive = 64
    """Channels of every convolution."""


class MLP(Model):
    """Fully connected layers on the flattened image."""

    name: Literal["mlp"]
    depth: Positive = 2
    """Hidden layers."""
    activation: Literal["relu", "tanh", "gelu"] = "relu"
    """Activation after each hidden layer."""


class RNN(Model):
    """A recurrent network that reads the image row by row (tanh), then one linear layer on its last state."""

    name: Literal["rnn"]


class ResNet18(Model):
    """The residual network of He et al. (2016) for small images: a 3×3 stem, four stages of two blocks."""

    name: Literal["resnet18"]
    norm: Literal["batch", "group"] = "batch"
    """Batch normalization, or group normalization (Wu & He 2018), which does not mix images."""


AnyModel = Annotated[CNN | CNNBatchNorm | MLP | RNN | ResNet18, Field(discriminator="name")]


class Training(Strict):
    """Cross-entropy over all classes of the data set, without augmentation."""

    epochs: Positive
    """Epochs of each task."""
    lr: LearningRate
    """Learning rate: a number, or arithmetic with `width`, such as `0.1/width`."""
    batch_size: Positive = 64
    """Images in an optimizer step."""
    precision: Literal["float32", "bf16"] = "float32"
    """Precision of products in training and tests. `bf16` has 8 significant bits; weights, their updates and kernels
    stay in float32. It makes wide networks faster if the hardware supports it, and others slower. On a GPU, float32
    products are in TF32."""
    dynamics: Literal["network", "linearized"] = "network"
    """What is trained: the network, or its linearised twin. The twin is the network's first-order expansion around its
    weights at the start of each task, trained on the same batches: what the network would be if its kernel were static.
    A twin needs its network, which is trained too."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Stochastic gradient descent, or Adam (Kingma & Ba 2015, with PyTorch's β and ε)."""
    momentum: Annotated[float, Field(ge=0, lt=1), BeforeValidator(no_bool)] = 0.0
    """Momentum of sgd."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(no_bool)] = 0.0
    """L2 penalty: this factor times the weights is added to the gradient."""
    optimizer_state: Literal["new", "keep"] = "new"
    """Whether each task begins with a new optimizer, or the state of the one before goes on: Adam's moments and its
    count of steps, or the momentum of sgd."""
