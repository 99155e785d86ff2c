"""Architectures that an audit can run layer by layer, decided from a config before loading weights.

There is no list of names: a small random model of the same architecture has to pass the checks of
`structure`. docs/architectures.md lists the result for each architecture of transformers.
"""

from typing import Any

import torch

from sae_audit.errors import AuditError
from sae_audit.subject.model.layer_modules import FAILURES, layer_modules
from sae_audit.subject.model.miniature import miniature
from sae_audit.subject.model.structure import check_structure
from sae_audit.untrusted import shown

_TEXTS = ([5, 9, 30, 41, 7, 17, 60, 22, 11], [5, 9, 31, 42, 17, 60, 11])
"""Token ids of the two prompts that a miniature is tried on."""
_asked: dict[str, str] = {}


def architecture_obstacle(config: Any) -> str:
    """The reason why models of this config cannot be audited, as a sentence; empty if they can.

    Also empty if transformers lacks the architecture or it cannot be made small: the model is then
    checked once it is loaded.
    """
    key = f"{type(config).__name__} {config.to_json_string(use_diff=False)}"
    if key not in _asked:
        _asked[key] = _obstacle(config)
    return _asked[key]


def refuse_architecture(config: Any) -> None:
    """Check that models of this config can be audited.

    Raises:
        AuditError: they cannot.
    """
    obstacle = architecture_obstacle(config)
    if obstacle:
        raise AuditError(obstacle)


def _obstacle(config: Any) -> str:
    kind = shown(config.model_type)
    if getattr(config, "is_encoder_decoder", False):
        return (
            f"A {kind} model is an encoder-decoder, which an audit does not read; name a decoder-only "
            "language model such as Gemma-2 or Llama."
        )
    try:
        text = config.get_text_config(decoder=True)
    except ValueError:
        return (
            f"A {kind} model holds several language models; name a decoder-only language model such as "
            "Gemma-2 or Llama."
        )
    n_layers = getattr(text, "num_hidden_layers", None)
    if not isinstance(n_layers, int) or n_layers < 1:
        return f"The config of a {kind} model does not say how many decoder layers it has."
    model = miniature(config)
    if model is None:
        return ""
    first, second = (torch.tensor(ids) for ids in _TEXTS)
    try:
        modules = layer_modules(model)
    except AuditError as error:
        # A miniature that fails to run tells nothing about the model.
        return "" if isinstance(error.__cause__, FAILURES) else str(error)
    try:
        check_structure(model, modules, first, second)
    except AuditError as error:
        return str(error)
    return ""
