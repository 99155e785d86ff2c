"""Every setting of an audit, its default and its meaning. Defaults live here and nowhere else."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from sae_audit.untrusted import name_fault, path_fault, unprintable
from sae_audit.vocabulary import ErrorTerm, Positions

_LONGEST_TEXT = 100_000
"""Characters of a text setting (a system prompt, an answer's beginning)."""


def _text(value: str) -> str:
    if (found := unprintable(value)) is not None:
        raise ValueError(f"it holds {found}")
    if len(value) > _LONGEST_TEXT:
        raise ValueError(f"it has {len(value)} characters, and {_LONGEST_TEXT} are the most")
    return value


def _word(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty")
    return _text(value)


def _name(value: str) -> str:
    if fault := name_fault(value):
        raise ValueError(fault)
    return value


def _path(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty")
    if fault := path_fault(value):
        raise ValueError(fault)
    return value


Text = Annotated[str, AfterValidator(_text)]
"""A text without control characters; it may be empty."""
Word = Annotated[str, AfterValidator(_word)]
"""The same, not empty."""
Name = Annotated[str, AfterValidator(_name)]
"""One part of a path."""
Location = Annotated[str, AfterValidator(_path)]
"""A path, a hub id, or a name that is looked up."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _reckonable(cls, value: object) -> object:
        if isinstance(value, int) and abs(value) >= 2**53:
            raise ValueError("the number is too large")
        return value


class PromptSettings(_Settings):
    """Which prompts, and how many of each label go to each split."""

    sources: tuple[Location, ...] = Field(min_length=1)
    """Files, published sets by name (`advbench`), or data sets of the hub (`org/name`), each with
    options after a `?`: docs/prompts.md."""
    categories: tuple[Word, ...] | None = Field(default=None, min_length=1)
    """Audit only prompts of these categories, and harmless ones that carry none; all where not
    given."""
    languages: tuple[Word, ...] | None = Field(default=None, min_length=1)
    """Audit only prompts in these languages; all where not given."""
    train: int = Field(default=64, ge=4)
    """Harmful, and as many harmless, prompts behind the difference of means (paper: 128)."""
    validation: int = Field(default=32, ge=4)
    """Of each label, for choosing the direction (2406.11717: 32)."""
    audit: int = Field(default=40, ge=4)
    """Of each label, for everything else; never used to choose anything above."""


class ReadoutSettings(_Settings):
    """What a score is read by: a function of the logits behind the prompt."""

    kind: Literal["refusal_tokens", "token_pair"] = "refusal_tokens"
    """`refusal_tokens`: log-odds that the answer begins with a refusal token (2406.11717);
    `token_pair`: log-odds of tokens by which an agent declines to act against those by which it acts."""
    declines: tuple[Text, ...] | None = Field(default=None, min_length=1)
    """First tokens of an answer that declines (`token_pair`)."""
    acts: tuple[Text, ...] | None = Field(default=None, min_length=1)
    """First tokens of an answer that acts, such as `<tool_call>` (`token_pair`)."""
    threshold: float = 0.0
    """The readout's score (nats) above which the model refuses; all scores are counted from it."""

    @model_validator(mode="after")
    def _whole(self) -> "ReadoutSettings":
        for name, texts in (("declines", self.declines), ("acts", self.acts)):
            if self.kind == "token_pair" and texts is None:
                raise ValueError(
                    f"a readout of kind token_pair needs readout.{name}, a list of tokens"
                )
            if self.kind != "token_pair" and texts is not None:
                raise ValueError(
                    f"readout.{name} is for readout.kind token_pair, and this is {self.kind}; set the "
                    "one or leave out the other"
                )
        return self


class DirectionSettings(_Settings):
    """Candidates for the refusal direction, and the choice among them (2406.11717, appendix C)."""

    estimator: Name = "difference_of_means"
    """How candidates are made of the training prompts' means: `difference_of_means`, or a name that an
    installed package gives."""
    selection: Name = "bypass"
    """How one of them is chosen: `bypass`, the lowest refusal score with the direction projected out
    (2406.11717); `cosmic`, the stream most like the other label's, no output token read (2506.00085);
    or a name that an installed package gives."""
    kl_limit: float = Field(default=0.1, gt=0)
    """Discard directions whose projection moves harmless prompts by more (nats)."""
    induce_floor: float = 0.0
    """Discard directions that, added, leave harmless prompts below this refusal score (nats); `cosmic`
    has no such floor."""
    layer_cut: float = Field(default=0.2, ge=0, lt=1)
    """Discard the last share of layers: too close to the output tokens."""
    max_directions: int = Field(default=6, ge=1)
    """Refusal directions looked for one behind the other, each with those before it projected out."""
    until_refused: float = Field(default=0.1, ge=0, lt=1)
    """Look for no further one once at most this share of validation prompts is still refused."""


class CandidateSettings(_Settings):
    """Stage 2, first step (2509.09708)."""

    method: Literal["cosine", "attribution", "cosine_attribution"] = "cosine"
    """By cosine with the refusal direction (the paper); by estimated effect on the refusal score of
    the training prompts; or the latter within a pool by the former (2505.23556)."""
    per_layer: int = Field(default=16, ge=1)
    """Top features in every audited layer (paper: 10-200)."""
    keep: int = Field(default=64, ge=1)
    """`cosine_attribution` keeps this many of the pool, over all layers."""
    widen_rounds: int = Field(default=3, ge=0)
    """How often the pool of a prompt that all candidates do not flip is widened, by features whose
    ablation should then lower the score most; 0: never."""
    widen_by: int = Field(default=16, ge=1)
    """Features added a round, over all layers."""


class MinimalSettings(_Settings):
    """Stage 2, second step: filtering and the certificate."""

    search: Literal["splitting", "delta_debugging", "greedy", "elimination"] = "splitting"
    """`splitting`: O(m log n) questions for m of n features; `delta_debugging`: ddmin; `greedy`: the
    paper's filter, then elimination; `elimination` alone. All are certified alike."""
    order: Literal["both", "attribution", "candidates"] = "both"
    """What a search takes for the likeliest features: by estimated effect on the prompt's refusal
    score (`attribution`, one backward pass); the candidates' own order (`candidates`: by cosine,
    unless they were chosen by effect); or a search in each, and the smaller set."""
    tau: float = Field(default=0.01, ge=0)
    """`greedy` drops a feature whose sparing changes the refusal probability by a smaller share
    (open in 2509.09708)."""
    patience: int = Field(default=16, ge=1)
    """How many sets of one prompt are asked in one round; changes the cost, and the answer of
    `splitting` only where effects are not monotone."""
    more_sets_budget: int = Field(default=64, ge=0)
    """Sets that may be scored, for each flipped prompt, to find its other minimal sets, until none
    is missing; 0 leaves them out."""


class AblationScaleSettings(_Settings):
    """Stage 2, fourth step: how much of an ablation it takes to flip a prompt."""

    grid: int = Field(default=8, ge=0, le=10_000)
    """Evenly spaced scales tried between none and the whole ablation; where the whole one of all
    candidates does not flip, as many from there to `limit`. 0 leaves scales out."""
    tolerance: float = Field(default=0.02, ge=1e-4)
    """Halve the step in which a prompt first flips until it is no wider (a share of the ablation)."""
    limit: float = Field(default=4.0, gt=1)
    """Furthest overshoot tried: features go this many times the way to their clamp."""


class InteractionSettings(_Settings):
    """Stage 3: pair weights from measured ablation masks."""

    n_masks: int = Field(default=256, ge=64, le=1 << 20)
    """Ablation masks measured per prompt."""
    max_players: int = Field(default=16, ge=2)
    """The features with the largest effect that enter the fit; n_masks should grow with it."""
    pooled_prompts: int = Field(default=8, ge=1)
    """Prompts whose mean score the pooled fit explains."""
    solver: Literal["walsh", "fm_bayes", "fm_als", "lasso"] = "walsh"
    """The solver whose pair weights are reported; the others stand beside it. `walsh`: a sparse model
    in products of any order, which found every planted pair in the bench; `fm_bayes`, `fm_als`:
    factorization machines (2509.09708), sampled or by least squares; `lasso` on all pair products."""
    n_shuffles: int = Field(default=20, ge=20, le=100_000)
    """Refits on shuffled scores behind the chance level of a pair weight."""


class CascadeSettings(_Settings):
    """Stage 4: waves of dormant features."""

    max_waves: int = Field(default=6, ge=1)
    min_effect: float = Field(default=0.1, gt=0)
    """Nats by which a dormant feature's ablation must lower the refusal score, to join the next wave."""
    max_tested: int = Field(default=32, ge=1)
    """Dormant features tested per wave, the largest direct attribution along the direction first."""
    edge_features: int = Field(default=8, ge=1)
    """Features of each wave between which edges are tested one by one: those with the largest
    effect (first wave: the strongest)."""
    edge_controls: int = Field(default=5, ge=1)
    """Features outside the cascade that are ablated in place of each edge's cause."""


class JudgeSettings(_Settings):
    """Who says whether a completion complied."""

    kind: Literal["substring", "classifier", "instruct"] = "substring"
    """`substring`: the usual words of refusal in its opening; `classifier`: a sequence classifier;
    `instruct`: a language model that answers in words."""
    model: Location | None = None
    """The judge's model: a folder or a hub id."""
    template: Location | None = None
    """Jinja file with `{{ prompt }}` and `{{ completion }}`: what the judge reads. Without one a
    classifier reads the completion, and an instruct model its own chat template's rendering of the
    exchange (Llama Guard). HarmBench's and WildGuard's wordings are on their model cards."""
    answer: Literal["harmbench", "wildguard", "llama_guard"] = "llama_guard"
    """How an instruct judge's words are read: complied where the first word is `yes` (HarmBench),
    where the line `Response refusal: no` stands (WildGuard), where it is `unsafe` (Llama Guard)."""
    complied_label: Word | None = None
    """The label by which a classifier says that the completion complied."""

    @model_validator(mode="after")
    def _whole(self) -> "JudgeSettings":
        if self.kind != "substring" and self.model is None:
            raise ValueError(f"a judge of kind {self.kind} needs judge.model, a folder or hub id")
        if self.kind == "classifier" and self.complied_label is None:
            raise ValueError(
                "a classifier needs judge.complied_label, the label that says complied"
            )
        if self.kind == "instruct" and self.answer != "llama_guard" and self.template is None:
            raise ValueError(
                f"a judge in {self.answer} format needs judge.template, a file with the prompt of "
                "its model card"
            )
        return self


class ControlSettings(_Settings):
    random_sets: int = Field(default=10, ge=1)
    """Random sets, matched in size, layers and firing rate, per prompt and for the pooled set."""
    random_directions: int = Field(default=10, ge=2)
    """Random directions, drawn from how the stream varies among prompts of one label, beside every
    number of the refusal direction."""


class EvidenceSettings(_Settings):
    """When an audit claims a mechanism at all."""

    level: float = Field(default=0.02, gt=0, le=1)
    """Largest p-value at which scores count as separating harmful from harmless prompts, and
    minimal sets as better than those of random candidates. The smallest audit there can be, four
    prompts of each label told apart without a fault, reaches 1/70."""
    margin: float = Field(default=0.5, ge=0)
    """Refused prompts whose clean score is nearer to 0 (nats) are marked: at 0.5 the model begins
    62% of its answers as refusals."""


class AuditConfig(_Settings):
    """One audit, complete: the same file gives the same numbers."""

    model: Location
    """A Hugging Face causal LM with its tokenizer: a folder, a hub id `ORG/NAME` or
    `ORG/NAME@REVISION`, or `bundled:organism/base`; or a GGUF file: `PATH/FILE.gguf`,
    `ORG/NAME/FILE.gguf`, or an installed package's, `package:NAME`."""
    saes: Location
    """SAEs of its residual stream: a suite of the catalog, a release of sae_lens, a hub repository
    (each with `@REVISION` where wanted), or a folder, the last two in a publisher's layout."""
    prompts: PromptSettings
    name: Name | None = None
    """What the report calls the model, and its folder in `reports`; the name of the model's own folder
    or hub id where not given."""
    revision: Location | None = None
    """Branch, tag or commit of the model's hub repository; `main` where not given."""
    adapter: Location | None = None
    """PEFT (LoRA) adapter on the model: a folder or a hub id."""
    layers: tuple[Annotated[int, Field(ge=0, lt=100_000)], ...] | None = Field(
        default=None, min_length=1
    )
    """Layers to audit; all that have an SAE where not given."""
    catalog: Location | None = None
    """File with SAE suites of one's own, in the form of pretrained_saes/catalog.yaml."""
    sae_l0: float | Word | None = None
    """Which sparsity, where a suite of the catalog offers several: a number (the nearest L0 of each
    layer is taken) or the publisher's word; the suite's default where not given."""
    sae_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: as saved for sae_lens' own format, float32 for publishers' formats."""
    sae_memory: Literal["auto", "device", "host"] = "auto"
    """Where whole SAEs stay: on the `device`, or in the `host`'s memory, the device holding the rows
    of candidate features alone; `auto`: on the device if they take at most half of its free memory."""
    refusal_tokens: tuple[Text, ...] | None = Field(default=None, min_length=1)
    """First tokens of a refusal; known families and else the model's own refusals where not given."""
    readout: ReadoutSettings = ReadoutSettings()
    chat_template: Location | None = None
    """File with a Jinja chat template, for a tokenizer that has none."""
    template_options: dict[Word, bool | int | Text] = {}
    """What the chat template is given besides the messages (`enable_thinking: false` for Qwen-3)."""
    system_prompt: Text | None = None
    answer_prefix: Text | None = Field(default=None, min_length=1)
    """Text behind the chat template with which every answer begins, special tokens too: a closed, empty
    thinking block has a reasoning model answer at once, where scores are read."""
    device: Word = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: the checkpoint's own."""
    device_map: Word | dict[Text, int | Word] | None = None
    """How accelerate spreads the model over several devices (`auto`, or a device by module); all on
    `device` if not given."""
    attn_implementation: Literal["sdpa", "eager"] | None = None
    """transformers' own choice where not given."""
    quantization: Literal["8bit", "4bit"] | None = None
    """Load the model's weights in fewer bits, by bitsandbytes."""
    trust_remote_code: bool = Field(default=False, exclude=True)
    """Run code that comes with the checkpoint. Never written to a file and never read from one: only
    the command line, or the caller of `audit`, decides to run a stranger's code."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    tokens_per_batch: int | None = Field(default=None, ge=64, le=1 << 24)
    """Tokens (prompts times length) that share one forward pass; from the free memory where not
    given."""
    clamp: float | Literal["harmless_mean"] = 0.0
    """The activation an ablated feature is set to: a number, or each feature's own mean over the
    harmless training prompts, at the positions ablated (open in 2509.09708)."""
    positions: Positions = Positions.ALL
    """Where ablation acts (open in 2509.09708)."""
    error_term: ErrorTerm = ErrorTerm.KEPT
    """What becomes of what the SAEs do not reconstruct: `kept`, that of the current stream;
    `frozen`, that of the clean run; `dropped`."""
    attribution_steps: int = Field(default=1, ge=1)
    """Points behind an estimated effect: 1, the gradient at the clean run; more, integrated
    gradients (2505.23556: 10), which cost that many passes a layer and prompt."""
    confirm: Literal["score", "text"] = "score"
    """`text`: every flip is also answered in text under ablation, and judged."""
    answer_tokens: int = Field(default=32, ge=1, le=1 << 16)
    """Length of the answers that are judged."""
    judge: JudgeSettings = JudgeSettings()
    direction: DirectionSettings = DirectionSettings()
    candidates: CandidateSettings = CandidateSettings()
    minimal: MinimalSettings = MinimalSettings()
    ablation_scale: AblationScaleSettings = AblationScaleSettings()
    interactions: InteractionSettings = InteractionSettings()
    cascade: CascadeSettings = CascadeSettings()
    controls: ControlSettings = ControlSettings()
    evidence: EvidenceSettings = EvidenceSettings()

    @model_validator(mode="after")
    def _read_once(self) -> "AuditConfig":
        if self.refusal_tokens is not None and self.readout.kind != "refusal_tokens":
            raise ValueError(
                f"refusal_tokens are not read by readout.kind {self.readout.kind}; leave them out "
                "(--set refusal_tokens=null)"
            )
        return self

    @model_validator(mode="after")
    def _answerable(self) -> "AuditConfig":
        if self.confirm == "text" and self.error_term == ErrorTerm.FROZEN:
            raise ValueError(
                "answers under ablation have no clean run whose error could be put back; use confirm "
                "score, or error_term kept or dropped"
            )
        return self
