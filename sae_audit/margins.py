"""What a score says: whether the model refuses. The one place where scores are held against 0.

A score is the margin by which a readout lies above its threshold, so its sign is all that is asked.
Exactly 0 is neither: a model at 0 is not said to refuse, and not to answer.
"""

from typing import overload

import numpy as np
from jaxtyping import Bool, Float


@overload
def refuses(score: float) -> bool: ...
@overload
def refuses(score: Float[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]: ...
def refuses(
    score: float | Float[np.ndarray, "*shape"],
) -> bool | Bool[np.ndarray, "*shape"]:
    """Whether the model refuses at this score, or at each of these; what is not a number does not."""
    return score > 0.0 if isinstance(score, np.ndarray) else bool(score > 0.0)


@overload
def answers(score: float) -> bool: ...
@overload
def answers(score: Float[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]: ...
def answers(
    score: float | Float[np.ndarray, "*shape"],
) -> bool | Bool[np.ndarray, "*shape"]:
    """Whether the model answers at this score, or at each of these; what is not a number does not."""
    return score < 0.0 if isinstance(score, np.ndarray) else bool(score < 0.0)
