"""What was audited, with what, on what: the part of a record that is not a finding."""

from pydantic import BaseModel, ConfigDict

from sae_audit.vocabulary import SCORE_BOUND


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFacts(_Facts):
    id: str
    source: str = ""
    """Hub repository, with the adapter's name where there is one; empty for a local folder."""
    revision: str
    """Commit of the hub repository; empty for a local folder."""
    sha256: str
    """Of the weight files, names included."""
    n_layers: int
    d_model: int
    architecture: str
    dtype: str
    device: str
    dtype_reason: str = ""
    """Why the weights are in this type; empty in records of versions before 0.2."""
    quantised_from: str = ""
    """Which types its weights had in the file, where that was a GGUF file; empty for others."""


class SaeFacts(_Facts):
    layer: int
    release: str
    """Folder or release the SAE came from."""
    repository: str
    """Of the hub; empty for a local folder."""
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
    """Answers to harmful training prompts that were listened to; 0 where tokens were known."""


class ReadTokenFacts(_Facts):
    role: str
    """What an answer that begins with it does, a verb."""
    id: int
    text: str


class ReadoutFacts(_Facts):
    """What scores are: how far a readout of the logits behind the prompt lies above its threshold."""

    kind: str = "refusal_tokens"
    """Its name in the settings; those of records of versions before readouts, which had one."""
    threshold: float = 0.0
    """Score, in the readout's own unit, above which the model refuses; scores are counted from it."""
    bound: float | None = SCORE_BOUND
    """No score before the threshold is larger, or smaller than its negative; null if none is."""
    tokens: tuple[ReadTokenFacts, ...] = ()
    title: str = ""
    """What the readout is called."""
    score: str = ""
    """The score's formula, in words."""
    meaning: str = ""
    """What scores are, with their unit."""
    missed: str = ""
    """What the score does not see."""


class PromptSourceFacts(_Facts):
    source: str
    revision: str
    """Commit of the hub repository; empty for a file."""
    sha256: str
    n_prompts: int
    set_aside: dict[str, int]
    """Rows read and not kept, by reason."""


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
    """Hash over everything that decides the numbers: settings, model, SAEs, prompts, version."""
    command: str
    """Repeats the run."""
    seed: int
    model: ModelFacts
    saes: tuple[SaeFacts, ...]
    refusal_tokens: RefusalTokenFacts | None
    """Null if scores are read by something else: `readout`."""
    readout: ReadoutFacts = ReadoutFacts()
    template_tokens: tuple[str, ...]
    """What the chat template, and the answer's prefix, add after the user's text."""
    notes: tuple[str, ...] = ()
    """What is to be known of chat template and refusal tokens, a sentence each."""
    prompt_sources: tuple[PromptSourceFacts, ...]
    environment: Environment
    stages: tuple[StageFacts, ...]
    peak_memory_bytes: int

    @property
    def seconds(self) -> float:
        """Of all stages, over all sessions of the run; loading is not counted."""
        return sum(stage.seconds for stage in self.stages)
