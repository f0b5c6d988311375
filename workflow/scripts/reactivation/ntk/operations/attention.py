"""Attention, opened: projections are linear layers, and scores and their softmax are left to autograd."""

import math
from unittest.mock import patch

import torch
import torch.nn.functional as F

from reactivation.ntk.rules import opens


@opens(F.multi_head_attention_forward)
def multi_head_attention(mode, query, *args, **kwargs):
    """Run torch's own function, whose rows are (time, n, channels), with what it calls visible to `mode`."""
    if query.dim() != 3 or query.shape[1] != mode.samples:
        return NotImplemented
    before, mode.batch_at = mode.batch_at, 1
    try:
        with patch.object(F, "has_torch_function", lambda *_: False), mode:
            return F.multi_head_attention_forward(query, *args, **kwargs)
    finally:
        mode.batch_at = before


@opens(F.scaled_dot_product_attention)
def scaled_dot_product_attention(
    mode, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    """Attention by products and a softmax: torch's own passes logits one by one, and hides what made its mask."""
    if dropout_p > 0:
        raise ValueError("dropout is active, so the logits are random: call model.eval() first")
    with mode:
        if enable_gqa:
            each = query.shape[-3] // key.shape[-3]
            key, value = (t.repeat_interleave(each, -3) for t in (key, value))
        scores = query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale) @ key.transpose(-2, -1)
        if is_causal:
            later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return torch._safe_softmax(scores, -1) @ value
