"""Memory of an audit, item by item, and settings that reduce it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import psutil
import torch

from sae_audit.config import AuditConfig
from sae_audit.planning.facts import SubjectFacts
from sae_audit.subject.model.budget import ENCODING_COPIES, Budget, bytes_per_token
from sae_audit.subject.model.clean_run import KEPT_BYTES
from sae_audit.subject.model.precision import Precision, precision
from sae_audit.subject.saes.suite import matrix_bytes

_BITS = {"8bit": 1.0, "4bit": 0.55}
"""Bytes per weight of a quantised model, scales included."""
_SCRATCH = 0.1
"""Share of model and SAEs: copies in another layout, and freed memory not returned. Measured once, at
full size (docs/performance.md)."""
_GIVEN = "null SAEs named by you"
LARGEST_BATCH = "largest batch"
"""Name of the item that an audit fits to the free memory, and halves on overflow."""
_ATTRIBUTION_COPIES = 24
"""Vectors of d_model that a layer keeps per position for the backward pass."""


@dataclass(frozen=True, kw_only=True)
class Item:
    name: str
    n_bytes: int
    on_host: bool
    """True if in host memory whatever the device."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Peak memory of an audit, by item."""

    items: tuple[Item, ...]
    device: str
    free_device: int
    free_host: int

    @property
    def needed_device(self) -> int:
        return sum(item.n_bytes for item in self.items if self._shared or not item.on_host)

    @property
    def needed_host(self) -> int:
        return sum(item.n_bytes for item in self.items if self._shared or item.on_host)

    @property
    def total(self) -> int:
        return sum(item.n_bytes for item in self.items)

    @property
    def fits(self) -> bool:
        return self.needed_device <= self.free_device and self.needed_host <= self.free_host

    @property
    def _shared(self) -> bool:
        """On a CPU, host and device share one memory."""
        return torch.device(self.device).type != "cuda"


def memory_of(config: AuditConfig, facts: SubjectFacts, *, device: str) -> Memory:
    """Memory of weights, SAEs, caches, and the largest batch."""
    itemsize = precision_of(config, facts, device).itemsize
    weights = facts.n_parameters * _BITS.get(config.quantization or "", itemsize)
    saes = sum(matrix_bytes(sae, config.sae_dtype) for sae in facts.saes.values())
    given = sum(
        matrix_bytes(sae, config.sae_dtype) for one in facts.null_saes for sae in one.values()
    )
    cuda = torch.device(device).type == "cuda"
    free_device, free_host = _free(device), free_host_bytes()
    on_host = cuda and (
        config.sae_memory == "host"
        or (config.sae_memory == "auto" and saes > 0.5 * (free_device - weights))
    )
    widest = max(sae.width for sae in facts.saes.values())
    features = sum(sae.width for sae in facts.saes.values())
    per_token = bytes_per_token(facts.config, itemsize)
    # An audit sizes its batches after loading the model and the SAEs.
    left = max(1, free_device - round(weights) - (0 if on_host else saes))
    budget = Budget.for_memory(per_token, left, device, config.tokens_per_batch)
    rows = budget.tokens / facts.prompt_tokens
    batch = budget.tokens * per_token + rows * facts.config.vocab_size * (itemsize + 16)
    encoding = budget.tokens_encoding(widest) * widest * 4 * ENCODING_COPIES
    backward = facts.prompt_tokens * facts.n_layers * facts.d_model * itemsize
    backward *= _ATTRIBUTION_COPIES
    peaks = 2 * config.prompts.train * features * 4
    scratch = _SCRATCH * (weights + (0 if on_host else saes))
    largest_sae = max(matrix_bytes(sae, config.sae_dtype) for sae in facts.saes.values())
    items = {
        "program": (program_bytes(), True),
        "model": (weights, False),
        "SAEs": (saes, on_host),
        "null dictionary": (saes, on_host),
        _GIVEN: (given, True),
        "clean runs of prompts": (_clean_runs(config, facts, itemsize), False),
        "peak activations (controls)": (peaks, True),
        LARGEST_BATCH: (max(batch, encoding, backward), False),
        "scratch of the libraries": (scratch, False),
    }
    if on_host:
        items["one SAE on the device"] = (largest_sae, False)
    return Memory(
        items=tuple(
            Item(name=name, n_bytes=round(n), on_host=host)
            for name, (n, host) in items.items()
            if n or name != _GIVEN
        ),
        device=device,
        free_device=free_device,
        free_host=free_host,
    )


def remedies(config: AuditConfig, facts: SubjectFacts, *, device: str) -> list[str]:
    """Settings with which the audit would fit, the mildest first; several if one is not enough."""
    tried: list[Mapping[str, object]] = []
    cuda = torch.device(device).type == "cuda"
    if cuda and config.sae_memory != "host":
        tried.append({"sae_memory": "host"})
    if config.sae_dtype in ("auto", "float32"):
        tried.append({"sae_dtype": "bfloat16"})
    if precision_of(config, facts, device).itemsize == 4:
        tried.append({"dtype": "bfloat16"})
    if cuda and config.quantization is None:
        tried.append({"quantization": "8bit"})
    found: list[str] = []
    together: dict[str, object] = {}
    for change in tried:
        alone = config.model_copy(update=dict(change))
        if memory_of(alone, facts, device=device).fits:
            found.append(_written(change))
        together |= change
        if not found and memory_of(config.model_copy(update=together), facts, device=device).fits:
            return [_written(together)]
    return found or _fewer_layers(config.model_copy(update=together), together, facts, device)


def _fewer_layers(
    config: AuditConfig, changed: Mapping[str, object], facts: SubjectFacts, device: str
) -> list[str]:
    layers = sorted(facts.saes)
    middle = facts.n_layers / 2
    by_distance = sorted(layers, key=lambda layer: abs(layer - middle))
    for n in range(len(layers) - 1, 0, -1):
        kept = sorted(by_distance[:n])
        fewer = replace(facts, saes={layer: facts.saes[layer] for layer in kept})
        if memory_of(config, fewer, device=device).fits:
            return [_written({**changed, "layers": kept})]
    return []


def _written(change: Mapping[str, object]) -> str:
    return " ".join(f"--set {key}={value}" for key, value in change.items()).replace(", ", ",")


def precision_of(config: AuditConfig, facts: SubjectFacts, device: str) -> Precision:
    """The dtype of loading, chosen as in an audit."""
    return precision(
        config.dtype,
        own=facts.dtype,
        n_parameters=facts.n_parameters,
        beside_bytes=sum(matrix_bytes(sae, config.sae_dtype) for sae in facts.saes.values()),
        device=device,
        placed=config.device_map is not None,
        quantized=config.quantization is not None or facts.is_quantized,
        free_bytes=free_host_bytes(),
    )


def free_host_bytes() -> int:
    """Available bytes of host memory, including the reclaimable file cache."""
    return psutil.virtual_memory().available


def program_bytes() -> int:
    """Bytes of this process before a model is loaded: the same libraries as an audit's."""
    now = psutil.Process().memory_info()
    # Code of libraries is mapped, and shared if the system reports it.
    return now.rss - getattr(now, "shared", 0)


def _free(device: str) -> int:
    where = torch.device(device)
    return torch.cuda.mem_get_info(where)[0] if where.type == "cuda" else free_host_bytes()


def _clean_runs(config: AuditConfig, facts: SubjectFacts, itemsize: int) -> int:
    model = facts.config
    head_dim = getattr(model, "head_dim", None) or model.hidden_size // model.num_attention_heads
    a_token = facts.n_layers * (model.hidden_size + 2 * model.num_key_value_heads * head_dim)
    a_run = (facts.prompt_tokens * a_token + model.vocab_size) * itemsize
    return min(KEPT_BYTES, round(2 * config.prompts.audit * a_run))
