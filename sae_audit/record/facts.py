"""What was audited, and on what machine: the part of a record that is not a finding."""

from pydantic import BaseModel, ConfigDict

from sae_audit.vocabulary import SCORE_BOUND


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MadeForFacts(_Facts):
    """The weights that an adapter, or SAEs, were made for according to their own files."""

    layers: tuple[int, ...]
    """Layers of the SAEs; empty for the adapter."""
    sha256: str
    name: str
    """Name of these weights; empty if the file gives none."""
    is_own: bool
    """Whether they are the model's own weights, without adapter."""


class ModelFacts(_Facts):
    id: str
    source: str = ""
    """Hub repository, with the adapter's name if there is one; empty for a local folder."""
    revision: str
    """Commit of the hub repository; empty for a local folder."""
    sha256: str
    """Hash of the weight files, names included."""
    n_layers: int
    d_model: int
    architecture: str
    dtype: str
    device: str
    dtype_reason: str = ""
    """Why the weights have this type; empty in records of versions before 0.2."""
    quantised_from: str = ""
    """Types of the weights in a GGUF file; empty for other files."""
    adapter_scale: float | None = None
    """Factor of the adapter's change of the layers; null without an adapter, and in records of versions
    that had no such setting."""
    adapter_merged: bool | None = None
    """Whether the adapter was added to the weights, rounded to their type; null likewise."""
    made_for: tuple[MadeForFacts, ...] = ()
    """Empty if neither the adapter nor an SAE names weights."""


class SaeFacts(_Facts):
    layer: int
    release: str
    """Folder or release the SAE came from."""
    repository: str
    """Hub repository; empty for a local folder."""
    revision: str
    """Commit of that repository; empty for a local folder."""
    id: str
    width: int
    """Number of features, d_sae."""
    architecture: str
    hook_name: str
    sha256: str


class RefusalTokenFacts(_Facts):
    ids: tuple[int, ...]
    texts: tuple[str, ...]
    source: str
    """`given`, `family` (published for it), `found` (in the model's own refusals), `openings` (usual in
    the prompts' languages) or `none` (no refusal was heard, and none is known)."""
    n_answers: int = 0
    """Number of answers to harmful training prompts that were read; 0 if tokens were known."""
    n_refused: int = 0
    """Number of these prompts refused in words; 0 in records of versions that did not count them."""
    n_scored: int = 0
    """Number of the refused ones that score as refused."""


class ReadTokenFacts(_Facts):
    role: str
    """Effect of an answer that begins with it, a verb."""
    id: int
    text: str


class ReadoutFacts(_Facts):
    """Definition of scores: how far a readout of the logits behind the prompt exceeds its threshold."""

    kind: str = "refusal_tokens"
    """The readout's name in the settings; by default that of versions with only one readout."""
    threshold: float = 0.0
    """Readout, in its own unit, above which the model refuses; subtracted from all scores."""
    bound: float | None = SCORE_BOUND
    """Largest absolute readout before the threshold is subtracted; null if unbounded."""
    tokens: tuple[ReadTokenFacts, ...] = ()
    title: str = ""
    """Name of the readout shown to readers."""
    score: str = ""
    """The score's formula, in words."""
    meaning: str = ""
    """Meaning of scores, with their unit."""
    missed: str = ""
    """Kinds of refusal that the score misses."""


class PromptSourceFacts(_Facts):
    source: str
    revision: str
    """Commit of the hub repository; empty for a file."""
    sha256: str
    n_prompts: int
    set_aside: dict[str, int]
    """Number of rows read and not kept, by reason."""


class Environment(_Facts):
    python: str
    platform: str
    packages: dict[str, str]
    cores: int
    memory_bytes: int
    accelerator: str
    """Name of the GPU; empty on a CPU."""


class StageFacts(_Facts):
    stage: str
    forward_passes: int
    tokens: int
    seconds: float


class Manifest(_Facts):
    """`manifest.json`: versions, hashes, seed, hardware and cost of one run."""

    sae_audit: str
    """Version of this package."""
    started: str
    finished: str
    """UTC, ISO 8601; empty while the run is incomplete."""
    identity: str
    """Hash of everything that decides the numbers: settings, model, SAEs, prompts, version."""
    command: str
    """Command that repeats the run."""
    seed: int
    model: ModelFacts
    saes: tuple[SaeFacts, ...]
    refusal_tokens: RefusalTokenFacts | None
    """Null if scores are read by another `readout`."""
    readout: ReadoutFacts = ReadoutFacts()
    template_tokens: tuple[str, ...]
    """Text that the chat template, and the answer's prefix, add after the user's text."""
    notes: tuple[str, ...] = ()
    """Remarks on chat template and refusal tokens, a sentence each."""
    prompt_sources: tuple[PromptSourceFacts, ...]
    category_sources: tuple[PromptSourceFacts, ...] = ()
    """Those of the taxonomy; empty without one."""
    environment: Environment
    stages: tuple[StageFacts, ...]
    peak_memory_bytes: int

    @property
    def seconds(self) -> float:
        """Time of all stages, over all sessions of the run, without loading."""
        return sum(stage.seconds for stage in self.stages)
