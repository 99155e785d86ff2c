"""Every setting of an audit, its default and its meaning. Defaults live here and nowhere else."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sae_audit.vocabulary import Ablation, ErrorTerm, Positions


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptSettings(_Settings):
    """Which prompts, and how many of each label go to each split."""

    sources: tuple[str, ...] = Field(min_length=1)
    """Files: JSON lines or CSV with `id,text,label` and optionally `category,language`."""
    train: int = Field(default=64, ge=4)
    """Harmful, and as many harmless, prompts behind the difference of means (paper: 128)."""
    validation: int = Field(default=32, ge=4)
    """Of each label, for choosing the direction (2406.11717: 32)."""
    audit: int = Field(default=40, ge=4)
    """Of each label, for everything else; never used to choose anything above."""


class DirectionSettings(_Settings):
    """Selection of the refusal direction (2406.11717, appendix C)."""

    kl_limit: float = Field(default=0.1, gt=0)
    """Discard directions whose projection moves harmless prompts by more (nats)."""
    induce_floor: float = 0.0
    """Discard directions that, added, leave harmless prompts below this refusal score (nats)."""
    layer_cut: float = Field(default=0.2, ge=0, lt=1)
    """Discard the last share of layers: too close to the output tokens."""


class CandidateSettings(_Settings):
    """Stage 2, first step (2509.09708)."""

    per_layer: int = Field(default=16, ge=1)
    """Top features by cosine with the refusal direction in every audited layer (paper: 10-200)."""


class MinimalSettings(_Settings):
    """Stage 2, second step: filtering and the certificate."""

    tau: float = Field(default=0.01, ge=0)
    """The filter drops a feature whose sparing changes the refusal probability by a smaller share
    (open in 2509.09708)."""
    patience: int = Field(default=16, ge=1)
    """How many drops are tried in one batch; changes the cost, never the answer."""


class InteractionSettings(_Settings):
    """Stage 3: factorization machines on measured ablation masks."""

    n_masks: int = Field(default=256, ge=64)
    """Ablation masks measured per prompt."""
    max_players: int = Field(default=16, ge=2)
    """The features with the largest effect that enter the fit; n_masks should grow with it."""
    pooled_prompts: int = Field(default=8, ge=1)
    """Prompts whose mean score the pooled fit explains."""
    solver: Literal["fm_bayes", "fm_als"] = "fm_bayes"
    """The factorization machine whose pair weights are reported; the other and the lasso stand
    beside it."""
    n_shuffles: int = Field(default=20, ge=20)
    """Refits on shuffled scores behind the chance level of a pair weight."""


class CascadeSettings(_Settings):
    """Stage 4: waves of dormant features."""

    max_waves: int = Field(default=6, ge=1)
    min_effect: float = Field(default=0.1, gt=0)
    """Nats a waking feature's ablation must lower the refusal score by, to join the next wave."""
    max_tested: int = Field(default=32, ge=1)
    """Waking features tested per wave, the strongest pull along the refusal direction first."""


class ControlSettings(_Settings):
    random_sets: int = Field(default=10, ge=1)
    """Random sets, matched in size, layers and firing rate, per prompt and for the pooled set."""


class AuditConfig(_Settings):
    """One audit, complete: the same file gives the same numbers."""

    model: str
    """Folder of a Hugging Face causal LM with its tokenizer, or `bundled:organism/base`."""
    saes: str
    """Folder with one SAE a layer in sae_lens' format (`layer_0`, `layer_1`, ...)."""
    prompts: PromptSettings
    name: str | None = None
    """What the report calls the model; its folder's name where not given."""
    layers: tuple[int, ...] | None = None
    """Layers to audit; all that have an SAE where not given."""
    refusal_tokens: tuple[str, ...] | None = None
    """First tokens of a refusal; known families and else the model's own refusals where not given."""
    chat_template: str | None = None
    """File with a Jinja chat template, for a tokenizer that has none."""
    system_prompt: str | None = None
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: the checkpoint's own."""
    seed: int = 0
    tokens_per_batch: int = Field(default=8192, ge=64)
    """Tokens (prompts times length) that share one forward pass; lower it when memory is short."""
    clamp: float = 0.0
    """The activation an ablated feature is set to (open in 2509.09708)."""
    positions: Positions = Positions.ALL
    """Where ablation acts (open in 2509.09708)."""
    error_term: ErrorTerm = ErrorTerm.KEPT
    direction: DirectionSettings = DirectionSettings()
    candidates: CandidateSettings = CandidateSettings()
    minimal: MinimalSettings = MinimalSettings()
    interactions: InteractionSettings = InteractionSettings()
    cascade: CascadeSettings = CascadeSettings()
    controls: ControlSettings = ControlSettings()

    @property
    def ablation(self) -> Ablation:
        return Ablation(clamp=self.clamp, positions=self.positions, error_term=self.error_term)
