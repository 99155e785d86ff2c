"""Every setting of an audit, its default and its meaning. Defaults live here and nowhere else."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from sae_audit.untrusted import name_fault, path_fault, unprintable
from sae_audit.vocabulary import ErrorTerm, Positions

_LONGEST_TEXT = 100_000
"""Characters that a text setting (a system prompt, an answer's beginning) may have."""


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
"""A text without control characters that is not empty."""
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
    """Which prompts are used, and how many of each label go to each split."""

    sources: tuple[Location, ...] = Field(min_length=1)
    """Files, published sets by name (`advbench`), or data sets of the hub (`org/name`), each with
    options after a `?`: docs/prompts.md."""
    categories: tuple[Word, ...] | None = Field(default=None, min_length=1)
    """Audit only prompts of these categories, and harmless ones (look-alikes too) without a category;
    all if not given."""
    languages: tuple[Word, ...] | None = Field(default=None, min_length=1)
    """Audit only prompts in these languages; all if not given."""
    train: int = Field(default=64, ge=4)
    """Number of prompts of each label behind the difference of means (2406.11717: 128)."""
    validation: int = Field(default=32, ge=4)
    """Number of prompts of each label on which the direction is chosen (2406.11717: 32)."""
    audit: int = Field(default=40, ge=4)
    """Number of prompts of each label for everything else; nothing above is chosen on them."""
    lookalikes: int | None = Field(default=None, ge=0)
    """Largest number of safe look-alikes scored beside them, on which over-refusal is counted; as
    `audit` if not given, and fewer if the sources hold fewer. 0 leaves them out."""

    @property
    def most_lookalikes(self) -> int:
        """The largest number of safe look-alikes scored."""
        return self.audit if self.lookalikes is None else self.lookalikes


class ReadoutSettings(_Settings):
    """The readout that makes a score of the logits behind the prompt."""

    kind: Literal["refusal_tokens", "token_pair"] = "refusal_tokens"
    """`refusal_tokens`: log-odds that the answer begins with a refusal token (2406.11717);
    `token_pair`: log-odds of the tokens `declines` against the tokens `acts`."""
    declines: tuple[Text, ...] | None = Field(default=None, min_length=1)
    """First tokens of an answer that declines (`token_pair`)."""
    acts: tuple[Text, ...] | None = Field(default=None, min_length=1)
    """First tokens of an answer that acts, such as `<tool_call>` (`token_pair`)."""
    threshold: float = 0.0
    """The readout's score (nats) above which the model refuses; subtracted from all scores."""

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
    """How candidates are made from the training prompts' means: `difference_of_means`, or a name that
    an installed package gives."""
    selection: Name = "bypass"
    """How one of them is chosen: `bypass`, the lowest refusal score with the direction projected out
    (2406.11717); `cosmic`, the residual stream most like the other label's, no output token read
    (2506.00085); or a name that an installed package gives."""
    kl_limit: float = Field(default=0.1, gt=0)
    """Largest mean KL (nats) on harmless prompts that projecting a candidate out may cause."""
    induce_floor: float = 0.0
    """Smallest refusal score (nats) of harmless prompts to which a candidate, added, must lead;
    `cosmic` has no such floor."""
    layer_cut: float = Field(default=0.2, ge=0, lt=1)
    """Share of layers, the last ones, whose candidates are discarded: too close to the output tokens."""
    weak_below: float = Field(default=0.5, ge=0)
    """Share of the mean refusal score below which what the chosen direction removes is called weak, and
    candidates are ranked by estimated effect instead of by cosine with it; 1 is all of the score."""
    max_directions: int = Field(default=6, ge=1)
    """Maximum number of successive refusal directions, each found with those before it projected out."""
    until_refused: float = Field(default=0.1, ge=0, lt=1)
    """Share of validation prompts still refused at or below which no further direction is looked for."""


_Number = Annotated[int, Field(ge=1, lt=1 << 24)]
PerLayer = Annotated[
    Annotated[_Number, Tag("one")]
    | Annotated[tuple[_Number, ...], Field(min_length=1), Tag("several")],
    # Told apart first, or the complaint about a list would be that it is no number.
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]
"""A number of features of each layer, or several to choose from."""


class CandidateSettings(_Settings):
    """Stage 2, first step (2509.09708)."""

    method: Literal["cosine", "attribution", "cosine_attribution"] = "cosine"
    """By cosine with the refusal direction (2509.09708); by estimated effect on the refusal score of
    the training prompts; or by effect within a pool chosen by cosine (2505.23556)."""
    per_layer: PerLayer = 16
    """Number of top features in every audited layer (2509.09708: 10-200). Several numbers: the smallest
    of them that flips most validation prompts with all its features ablated is taken."""
    keep: int = Field(default=64, ge=1)
    """Number of features of the pool that `cosine_attribution` keeps, over all layers."""
    widen_rounds: int = Field(default=3, ge=0)
    """Maximum rounds of pool expansion for a prompt that ablating all candidates does not flip. Each
    round adds the features with the largest estimated effect. 0 disables it."""
    widen_by: int = Field(default=16, ge=1)
    """Number of features added per round, over all layers."""
    max_harmless_rate: float = Field(default=1.0, ge=0, le=1)
    """Largest share of harmless training prompts on which a candidate may fire. Below 1 it leaves out
    features that fire on harmless prompts too, however much weaker: such a feature may still carry
    refusal. Null dictionaries and pools of random features are held to the same."""

    @property
    def most_per_layer(self) -> int:
        """The largest number of features per layer that may be taken."""
        return self.per_layer if isinstance(self.per_layer, int) else max(self.per_layer)


class MinimalSettings(_Settings):
    """Stage 2, second step: filtering and the certificate."""

    search: Literal["splitting", "delta_debugging", "greedy", "elimination"] = "splitting"
    """`splitting`: O(m log n) questions for m of n features; `delta_debugging`: ddmin; `greedy`: the
    filter of 2509.09708, then elimination; `elimination` alone. All are certified alike."""
    order: Literal["both", "attribution", "candidates"] = "both"
    """Which features a search tries first: those with the largest estimated effect on the prompt's
    refusal score (`attribution`, one backward pass); the candidates' own order (`candidates`: by
    cosine, unless chosen by effect); or one search in each order, keeping the smaller set."""
    tau: float = Field(default=0.01, ge=0)
    """Relative change of the refusal probability on sparing a feature below which `greedy` drops it
    (open in 2509.09708)."""
    patience: int = Field(default=16, ge=1)
    """Number of sets of one prompt scored per round. It changes the cost, and the result of `splitting`
    only if effects are not monotone."""
    certify: Literal["score", "text"] = "score"
    """`text`: for every prompt flipped by score also a set under which the judge calls the answer
    compliance, and without any one feature of which it does not; needs `confirm: text`. What comes after
    rests on the sets by score."""
    texts_budget: int = Field(default=24, ge=1, le=10_000)
    """Maximum number of answers generated per flipped prompt for `certify: text`."""
    more_sets_budget: int = Field(default=64, ge=0)
    """Maximum number of sets scored per flipped prompt to find other minimal sets; 0: none."""


class SideEffectSettings(_Settings):
    """Largest side effects on harmless prompts that a set of features may have. A set that breaks the
    model flips refusal too, so a search without limits finds such sets first."""

    kl_limit: float = Field(default=0.1, gt=0)
    """Largest mean KL (nats) of the next token on harmless prompts, as `direction.kl_limit`."""
    first_tokens_limit: float = Field(default=0.05, ge=0, le=1)
    """Largest share of harmless prompts whose likeliest first token may become one that was less than
    half as likely."""
    prompts: int = Field(default=32, ge=8)
    """Number of harmless prompts on which both are measured: of the validation split, then of the
    training split, never of the audit split."""


class AblationScaleSettings(_Settings):
    """Stage 2, fourth step: the smallest ablation scale that flips a prompt."""

    grid: int = Field(default=8, ge=0, le=10_000)
    """Number of evenly spaced scales tried up to the full ablation; if that of all candidates does not
    flip, as many from there to `limit`. 0 leaves scales out."""
    tolerance: float = Field(default=0.02, ge=1e-4)
    """Width (ablation scale) down to which the step in which a prompt first flips is halved."""
    limit: float = Field(default=4.0, gt=1)
    """Largest ablation scale tried; 1 is the full ablation."""


class InteractionSettings(_Settings):
    """Stage 3: pair weights from scored ablation masks."""

    n_masks: int = Field(default=256, ge=64, le=1 << 20)
    """Number of ablation masks scored per prompt."""
    max_players: int = Field(default=16, ge=2)
    """Number of features, those with the largest effect, in the fit; n_masks should grow with it."""
    prompts: int = Field(default=40, ge=1)
    """Number of refused audit prompts, drawn by the seed, each of which is fitted."""
    pooled_prompts: int = Field(default=8, ge=1)
    """Number of prompts whose mean score the pooled fit explains."""
    solver: Literal["walsh", "fm_bayes", "fm_als", "lasso"] = "walsh"
    """Solver whose pair weights are reported, with the others for comparison. `walsh`: a sparse model
    in products of any order, which found every planted pair in the bench; `fm_bayes`, `fm_als`:
    factorization machines (2509.09708), sampled or by least squares; `lasso` on all pair products."""
    n_shuffles: int = Field(default=20, ge=20, le=100_000)
    """Number of refits on shuffled scores behind the null of a pair weight."""


class CoactivationSettings(_Settings):
    """Stage 3 as in 2509.09708: a factorization machine, trained on the activations of prompts, adds
    features to those that greedy filtering keeps."""

    enabled: bool = False
    """Whether it is trained; needs `minimal.search: greedy`."""
    solver: Literal["fm_bayes", "fm_als"] = "fm_bayes"
    """Solver whose ranking is used, with the other for comparison: sampled (myfm), or by alternating
    least squares (fastFM; open in 2509.09708)."""
    added: tuple[_Number, ...] = Field(default=(4, 16, 64, 256), min_length=1)
    """Numbers of features that may be added; the smallest that flips most validation prompts is taken
    (2509.09708: 1,509 and 3,178 features, their choice open)."""
    n_permutations: int = Field(default=49, ge=1, le=10_000)
    """Number of machines trained on permuted labels, the null; the smallest p is 1 / (1 + this)."""


class CascadeSettings(_Settings):
    """Stage 4: waves of dormant features."""

    max_waves: int = Field(default=6, ge=1)
    min_effect: float = Field(default=0.1, gt=0)
    """Nats by which ablating a dormant feature must lower the score for it to join a wave."""
    max_tested: int = Field(default=32, ge=1)
    """Number of dormant features tested per wave, largest direct attribution of either sign first."""
    edge_features: int = Field(default=8, ge=1)
    """Number of features of each wave between which edges are tested: those with the largest effect
    (first wave: the strongest)."""
    edge_controls: int = Field(default=5, ge=1)
    """Number of features outside the cascade that are ablated in place of each edge's cause."""
    stand_in_sets: int = Field(default=39, ge=1)
    """Number of sets of features active all along that are ablated in place of all that activates; the
    smallest p is one in one more. Backups are claimed up to .05."""
    stand_in_tests: int = Field(default=8, ge=1)
    """Number of dormant features of each state, drawn from those tested, that have a stand-in which was
    active all along."""
    same_score_prompts: int = Field(default=12, ge=1)
    """Number of flipped prompts that are brought to the same score by unrelated features."""


class JudgeSettings(_Settings):
    """The judge that says whether a completion complied."""

    kind: Literal["substring", "classifier", "instruct"] = "substring"
    """`substring`: the usual words of refusal in the completion's opening; `classifier`: a sequence
    classifier; `instruct`: a language model that answers in words."""
    model: Location | None = None
    """The judge's model: a folder or a hub id."""
    template: Location | None = None
    """Jinja file with `{{ prompt }}` and `{{ completion }}`: the text that the judge reads. Without one
    a classifier reads the completion, and an instruct model its own chat template's rendering of the
    exchange (Llama Guard). HarmBench's and WildGuard's wordings are on their model cards."""
    answer: Literal["harmbench", "wildguard", "llama_guard"] = "llama_guard"
    """Which words of an instruct judge mean compliance: `yes` as the first word (HarmBench), the line
    `Response refusal: no` (WildGuard), or `unsafe` (Llama Guard)."""
    complied_label: Word | None = None
    """A classifier's label for compliance."""

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
    """Number of random sets, matched in size, layers and firing rate, per prompt and pooled set."""
    random_directions: int = Field(default=10, ge=2)
    """Number of random directions, drawn from the variation of the stream among prompts of one label,
    that every number of the refusal direction is compared with."""
    negligible_kl: float = Field(default=0.01, ge=0)
    """Mean KL (nats) on harmless prompts up to which a rival of the pooled set costs as good as nothing:
    at equal side effects it may cost this, or as much as the pooled set."""


OTHER_LAYERS = "other_layers"
"""The audited SAEs themselves, each in the place of another layer's."""


class NullSaesSettings(_Settings):
    """SAEs of other layers or of another model, in the place of the audited ones."""

    saes: Location
    """Where they are, written as the audited ones are; or `other_layers`: the audited SAEs, each at the
    layer half of all further up, from the top on at the bottom."""
    layers: tuple[Annotated[int, Field(ge=0, lt=100_000)], ...] | None = Field(
        default=None, min_length=1
    )
    """Their own layers, one for each audited layer in order; if not given, the same layers if all have
    an SAE there, else their first ones in order."""

    @model_validator(mode="after")
    def _each_once(self) -> "NullSaesSettings":
        if self.layers is not None and len(set(self.layers)) < len(self.layers):
            raise ValueError("a layer is named twice; name each layer of theirs once")
        if self.layers is not None and self.saes == OTHER_LAYERS:
            raise ValueError(f"{OTHER_LAYERS} takes no layers; leave them out")
        return self


def _one_name(value: object) -> object:
    return {"saes": value} if isinstance(value, str) else value


NullSaes = Annotated[NullSaesSettings, BeforeValidator(_one_name)]
"""A name alone, or settings."""


class EvidenceSettings(_Settings):
    """Conditions on which an audit claims a mechanism."""

    level: float = Field(default=0.02, gt=0, le=1)
    """Largest p-value at which scores count as separating harmful from harmless prompts, and candidates
    as better than random pools. The smallest possible audit, four prompts of each
    label perfectly separated, reaches 1/70."""
    null_pools: int = Field(default=49, ge=1, le=10_000)
    """Number of whole pools of random features that the candidates are compared with; the smallest
    p-value that K of them can give is 1/(K + 1), so 49 are the fewest for .02."""
    null_dictionaries: int = Field(default=9, ge=0, le=10_000)
    """Number of null dictionaries of each kind (SAEs rotated, rotated about the direction, with random
    decoder rows) among which the same search is made; the smallest p they can give is one in this
    number plus 1. 0 leaves them out, and no claim about features is made."""
    null_prompts: int = Field(default=12, ge=5)
    """Number of refused prompts searched with each of them."""
    null_sizes: Literal["bounds", "exact"] = "bounds"
    """`bounds`: a null dictionary is searched until it is certain that it cannot do as well as the SAEs,
    and no more of a kind are drawn once one does as well; `exact`: every one, to the end."""
    null_flips: Literal["as_confirmed", "score"] = "as_confirmed"
    """What a flip is when null dictionaries are compared, real and null alike: `as_confirmed`, in text
    where `confirm` is text; `score`, by score alone, without answers, which ends searches sooner."""
    null_saes: tuple[NullSaes, ...] = ()
    """Your own null dictionaries: SAEs of other layers or of another model, each a name as in `saes`, a
    name with `layers`, or `other_layers`. Features must beat each of them; one alone can give no p below
    1/2, so it decides by being beaten or not."""
    margin: float = Field(default=0.5, ge=0)
    """Distance (nats) from 0 below which a refused prompt's clean score is marked: at 0.5 the model
    begins 62% of its answers as refusals."""


class CategorySettings(_Settings):
    """Kinds of refused requests, each with a direction of its own (2602.02132)."""

    taxonomy: Location | None = None
    """The kinds and where their prompts are: `eleven` (2602.02132, published sets), `smollm2`, or a YAML
    file (docs/categories.md); left out if not given."""
    per_category: int = Field(default=32, ge=8, le=100_000)
    """Largest number of refused prompts of each, drawn by the seed (2602.02132: 32). One half makes a
    direction, on the other its effects are measured."""
    minimum: int = Field(default=16, ge=8)
    """Number of refused prompts below which a category is left out, by name."""
    n_permutations: int = Field(default=199, ge=19, le=10_000)
    """Number of random deals of prompts to categories, the null; the smallest p is 1 / (1 + this)."""
    strengths: tuple[Annotated[float, Field(ge=-100, le=100)], ...] = Field(
        default=(-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0), max_length=64
    )
    """Strengths at which each direction is added, ascending, in its own gap between refused and harmless
    prompts; 0 must be among them. None: no steering."""
    per_group: int = Field(default=50, ge=8, le=100_000)
    """Largest number of prompts steered of each group: harmful and harmless, refused and answered
    (2602.02132: 50)."""
    equal_within: float = Field(default=0.05, gt=0, le=1)
    """Mean difference of the shares refused up to which two directions count as one knob."""

    @model_validator(mode="after")
    def _possible(self) -> "CategorySettings":
        if self.strengths and (
            0.0 not in self.strengths or list(self.strengths) != sorted(set(self.strengths))
        ):
            raise ValueError(
                "categories.strengths must ascend, each once, with 0 among them, which is measured too"
            )
        if len(self.strengths) == 1:
            raise ValueError(
                "categories.strengths holds 0 alone; name strengths to steer at, or none ([])"
            )
        if self.minimum > self.per_category:
            raise ValueError(
                f"categories.minimum ({self.minimum}) is above categories.per_category "
                f"({self.per_category}); no category could have enough"
            )
        return self


class FeatureSettings(_Settings):
    """What is measured of single features that findings name, for a page of each."""

    most: int = Field(default=48, ge=0, le=10_000)
    """Maximum number of features, the most important first; 0 leaves it out."""
    prompts: int = Field(default=40, ge=5)
    """Number of audit prompts of each label, the first ones, on which the effects of single features are
    measured."""


class AuditConfig(_Settings):
    """The settings of one audit, complete: the same file gives the same numbers."""

    model: Location
    """A Hugging Face causal LM with its tokenizer: a folder, a hub id `ORG/NAME` or
    `ORG/NAME@REVISION`, or `bundled:organism/base`; or a GGUF file: `PATH/FILE.gguf`,
    `ORG/NAME/FILE.gguf`, or an installed package's, `package:NAME`."""
    saes: Location
    """SAEs of its residual stream: a suite of the catalog, a release of sae_lens, a hub repository
    (each with an optional `@REVISION`), or a folder, the last two in a publisher's layout."""
    prompts: PromptSettings
    name: Name | None = None
    """The model's name in the report and of its folder in `reports`; if not given, the last part of the
    model's folder or hub id."""
    revision: Location | None = None
    """Branch, tag or commit of the model's hub repository; `main` if not given."""
    adapter: Location | None = None
    """PEFT (LoRA) adapter on the model: a folder or a hub id."""
    adapter_scale: float = Field(default=1.0, ge=0, le=100)
    """Factor of the adapter's change of the layers: 0 leaves the base, 1 is the adapter as it was
    trained. Other values than 1 need plain LoRA."""
    adapter_merged: bool = False
    """Whether the adapter is added to the weights, rounded to their type, as it is often deployed: less
    time in every pass. If not, it acts beside them, as PEFT applies it. Plain LoRA alone."""
    accept_other_base: bool = False
    """Whether an adapter or SAEs are loaded that name other weights than the model's as those they were
    made for."""
    layers: tuple[Annotated[int, Field(ge=0, lt=100_000)], ...] | None = Field(
        default=None, min_length=1
    )
    """Layers to audit; all that have an SAE if not given."""
    catalog: Location | None = None
    """File with further SAE suites, in the form of pretrained_saes/catalog.yaml."""
    sae_l0: float | Word | None = None
    """Which sparsity, if a suite of the catalog offers several: a number (the nearest L0 of each layer
    is taken) or the publisher's word; the suite's default if not given."""
    sae_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: as saved for sae_lens' own format, float32 for publishers' formats."""
    sae_memory: Literal["auto", "device", "host"] = "auto"
    """Where whole SAEs are kept: on the `device`, or in the `host`'s memory with the candidates' rows
    alone on the device; `auto`: on the device if they take at most half of its free memory."""
    refusal_tokens: tuple[Text, ...] | None = Field(default=None, min_length=1)
    """First tokens of a refusal; if not given, the model family's, else its own refusals' ones."""
    readout: ReadoutSettings = ReadoutSettings()
    chat_template: Location | None = None
    """File with a Jinja chat template, for a tokenizer that has none."""
    template_options: dict[Word, bool | int | Text] = {}
    """Arguments of the chat template besides the messages (`enable_thinking: false` for Qwen-3)."""
    system_prompt: Text | None = None
    answer_prefix: Text | None = Field(default=None, min_length=1)
    """Text after the chat template with which every answer begins, special tokens too: after a closed,
    empty thinking block a reasoning model answers at once, where scores are read."""
    device: Word = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: the checkpoint's own."""
    device_map: Word | dict[Text, int | Word] | None = None
    """How accelerate spreads the model over several devices (`auto`, or a device by module); if not
    given, all is on `device`."""
    attn_implementation: Literal["sdpa", "eager"] | None = None
    """Attention implementation of transformers; its own choice if not given."""
    quantization: Literal["8bit", "4bit"] | None = None
    """Precision to which bitsandbytes reduces the model's weights on loading."""
    trust_remote_code: bool = Field(default=False, exclude=True)
    """Run code that comes with the checkpoint. Never written to a file or read from one: only the
    command line, or the caller of `audit`, decides to run a stranger's code."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    tokens_per_batch: int | None = Field(default=None, ge=64, le=1 << 24)
    """Tokens (prompts times length) per forward pass; chosen by the free memory if not given."""
    clamp: float | Literal["harmless_mean"] = 0.0
    """Activation that an ablated feature is set to: a number, or each feature's own mean over the
    harmless training prompts, at the positions ablated (open in 2509.09708)."""
    positions: Positions = Positions.ALL
    """Token positions at which ablation acts (open in 2509.09708)."""
    error_term: ErrorTerm = ErrorTerm.KEPT
    """The SAEs' error term: `kept`, the current stream's; `frozen`, the clean run's; `dropped`."""
    attribution_steps: int = Field(default=1, ge=1)
    """Number of points behind an estimated effect: 1, the gradient at the clean run; more, integrated
    gradients (2505.23556: 10), at as many passes per layer and prompt."""
    confirm: Literal["score", "text"] = "score"
    """`text`: answers are also generated under ablation for every flip, and judged."""
    answer_tokens: int = Field(default=32, ge=1, le=1 << 16)
    """Length limit (tokens) of the answers that are judged."""
    judge: JudgeSettings = JudgeSettings()
    direction: DirectionSettings = DirectionSettings()
    candidates: CandidateSettings = CandidateSettings()
    minimal: MinimalSettings = MinimalSettings()
    side_effects: SideEffectSettings = SideEffectSettings()
    ablation_scale: AblationScaleSettings = AblationScaleSettings()
    interactions: InteractionSettings = InteractionSettings()
    coactivation: CoactivationSettings = CoactivationSettings()
    cascade: CascadeSettings = CascadeSettings()
    controls: ControlSettings = ControlSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    features: FeatureSettings = FeatureSettings()
    categories: CategorySettings = CategorySettings()

    @model_validator(mode="after")
    def _read_once(self) -> "AuditConfig":
        if self.refusal_tokens is not None and self.readout.kind != "refusal_tokens":
            raise ValueError(
                f"refusal_tokens are not read by readout.kind {self.readout.kind}; leave them out "
                "(--set refusal_tokens=null)"
            )
        return self

    @model_validator(mode="after")
    def _scaled(self) -> "AuditConfig":
        if self.adapter_scale != 1.0 and self.adapter is None:
            raise ValueError(
                f"adapter_scale is {self.adapter_scale:g}, and no adapter is given whose strength it "
                "could be; name one (--adapter), or leave adapter_scale out"
            )
        if self.adapter_merged and self.adapter is None:
            raise ValueError(
                "adapter_merged is true, and no adapter is given that could be merged; name one "
                "(--adapter), or leave adapter_merged out"
            )
        return self

    @model_validator(mode="after")
    def _adds_to_the_filter(self) -> "AuditConfig":
        if self.coactivation.enabled and self.minimal.search != "greedy":
            raise ValueError(
                "coactivation.enabled adds features to the set that greedy filtering keeps, and "
                f"minimal.search is {self.minimal.search}; set minimal.search=greedy or "
                "coactivation.enabled=false"
            )
        return self

    @model_validator(mode="after")
    def _judged(self) -> "AuditConfig":
        if self.minimal.certify == "text" and self.confirm != "text":
            raise ValueError(
                "minimal.certify text needs a judge of answers, and confirm is score; set confirm=text "
                "or minimal.certify=score"
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
