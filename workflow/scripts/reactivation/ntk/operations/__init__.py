"""The operations that are taken apart, one file per kind: the rule of the forward pass and that of the backward pass.

To add one, write a file with a rule that `takes_apart` the function, and import it here.
"""

from reactivation.ntk.operations import (  # noqa: F401
    activation,
    attention,
    convolution,
    dropout,
    embedding,
    linear,
    normalization,
    pooling,
    recurrent,
)
