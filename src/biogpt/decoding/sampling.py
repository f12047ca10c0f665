"""Logits to the next token id: pure functions of tensors. Knows no model, no text and no random state.

Shapes: B rows, V vocabulary.
"""

import torch


def choose_greedily(
    logits: torch.Tensor,  # (B, V)
) -> torch.Tensor:  # (B,)
    """The most probable id of each row; the lowest among equals."""
    return logits.argmax(dim=-1)


def draw(
    logits: torch.Tensor,  # (B, V)
    uniforms: torch.Tensor,  # (B,), float64 in [0, 1)
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> torch.Tensor:  # (B,)
    """Draw one id a row from what temperature, top-k and top-p leave, in this order, of the model's distribution.

    One number a row decides (by inversion, in the vocabulary's order), so that a row's outcome depends on nothing but
    its own logits and its own number: not on the rows beside it, nor on the device's random state.

    Args:
        logits: float, -inf where an id is forbidden.
        uniforms: one number a row, in [0, 1).
        temperature: above 0.
        top_k: how many ids to keep (all that equal the last one, too); 0: all.
        top_p: keep the most probable ids until their mass reaches this; the one that reaches it is kept.
    """
    scaled = (logits - logits.amax(dim=-1, keepdim=True)).double() / temperature  # the most probable is 0: no overflow
    num_candidates = min(top_k, scaled.shape[-1]) if top_k else scaled.shape[-1]
    if num_candidates < scaled.shape[-1] or top_p < 1.0:
        candidates = scaled.topk(num_candidates, dim=-1).values  # (B, K), descending
        probabilities = candidates.softmax(dim=-1)
        mass_before = probabilities.cumsum(dim=-1) - probabilities
        num_kept = (mass_before < top_p).sum(dim=-1, keepdim=True)
        threshold = candidates.gather(-1, num_kept - 1)
        scaled = scaled.masked_fill(scaled < threshold, float("-inf"))
    mass = scaled.softmax(dim=-1).cumsum(dim=-1)  # (B, V)
    total = mass[:, -1:]
    # Rounding could lift the target to the total, past the last possible id.
    target = torch.minimum(uniforms.unsqueeze(-1) * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(mass, target, right=True).squeeze(-1)
