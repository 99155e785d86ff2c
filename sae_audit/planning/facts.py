"""Facts about an audit's model, SAEs and prompts before any weights, and assumptions for the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sae_audit.bundled import named_file
from sae_audit.catalog import read_catalog
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.hub import Listing, listing, missing_bytes, weight_files
from sae_audit.pipeline.inputs import model_options
from sae_audit.planning.bases import adapters_base, saes_bases
from sae_audit.planning.evidence import CategorySize, categories_of
from sae_audit.planning.judge import unsure_of_judge
from sae_audit.planning.tensors import tensors_of
from sae_audit.prompts import sources
from sae_audit.prompts.sources import kept_sources
from sae_audit.prompts.splits import split_prompts
from sae_audit.prompts.taxonomy import read_taxonomy, sources_of
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions, own_dtype
from sae_audit.subject.checkpoint.model_place import needed_files, repository_of
from sae_audit.subject.checkpoint.pretrained import quantized
from sae_audit.subject.listening import check_no_open_thoughts
from sae_audit.subject.model.architecture import refuse_architecture
from sae_audit.subject.model.batches import grouped
from sae_audit.subject.model.precision import ITEMSIZES
from sae_audit.subject.readout import readout_of
from sae_audit.subject.saes.files import SaeConfig, sae_config
from sae_audit.subject.saes.null_saes import null_configs, null_places
from sae_audit.subject.saes.places import SaePlace, sae_places
from sae_audit.subject.template.chat import chat_template

_TEXT_TOKENS = range(10, 31)
_TEMPLATE_TOKENS = 5
_TOKENS_BEFORE = 5
"""Tokens assumed of a prompt that cannot be tokenised yet: its text, and the template around it."""

_TABLE: dict[str, dict[str, Any]] = {
    "google/gemma-2-2b-it": {
        "model_type": "gemma2",
        "num_hidden_layers": 26,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 256_000,
        "tie_word_embeddings": True,
    },
    "google/gemma-2-9b-it": {
        "model_type": "gemma2",
        "num_hidden_layers": 42,
        "hidden_size": 3584,
        "intermediate_size": 14_336,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "vocab_size": 256_000,
        "tie_word_embeddings": True,
    },
    "meta-llama/Llama-3.1-8B-Instruct": {
        "model_type": "llama",
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 128_256,
        "tie_word_embeddings": False,
    },
}
"""Shapes of the presets' models, which are gated: a plan needs no login."""
_TABLE_DTYPE = "bfloat16"


@dataclass(frozen=True, kw_only=True)
class SubjectFacts:
    """Model, SAEs and prompts as far as known without weights."""

    config: Any
    """transformers' config of the language model."""
    weight_bytes: int
    """Bytes of the checkpoint's weight files."""
    itemsize: int
    """Bytes of one weight in these files."""
    dtype: str
    """torch's name of the checkpoint's dtype."""
    is_quantized: bool
    """Whether the weights are quantised."""
    saes: dict[int, SaeConfig]
    """SAE configs by audited layer."""
    lengths: tuple[int, ...]
    """Tokens of each prompt, template included."""
    template_tokens: int
    notes: tuple[str, ...]
    """Assumptions, and facts that could not be checked."""
    null_saes: tuple[Mapping[int, SaeConfig], ...] = ()
    """SAE configs of the user's own null dictionaries, by audited layer; none of those that are the
    audited SAEs."""
    n_lookalikes: int = 0
    """Number of safe look-alikes scored; the most that the settings allow if prompts are not downloaded
    yet."""
    categories: tuple[CategorySize, ...] = ()
    """Sizes of the audit prompts' categories; none also if prompts are not downloaded yet."""
    n_categories: int = 0
    """Number of categories of the taxonomy; 0 without one."""

    @property
    def prompt_tokens(self) -> float:
        return sum(self.lengths) / len(self.lengths)

    def batches(self, n: float) -> float:
        """Number of batches for `n` of the prompts, by their lengths alone."""
        ordered, n_chosen = sorted(self.lengths), max(1, round(n))
        chosen = [ordered[i * len(ordered) // n_chosen] for i in range(n_chosen)]
        return float(len(grouped(chosen)))

    @property
    def n_layers(self) -> int:
        return self.config.num_hidden_layers

    @property
    def d_model(self) -> int:
        return self.config.hidden_size

    @property
    def n_parameters(self) -> float:
        return self.weight_bytes / self.itemsize


def subject_facts(config: AuditConfig) -> SubjectFacts:
    """Facts from listings, configs and the cache; no weights are downloaded.

    Raises:
        AuditError: Model or SAEs are missing, or do not fit each other.
    """
    notes: list[str] = []
    model = _model(config, notes)
    if config.confirm == "text" and config.judge.kind != "substring":
        notes += [unsure] if (unsure := unsure_of_judge(config)) else []
    saes = _saes(config, model.opened, notes)
    sources.check_named(sources_of(config))
    asked = _asked(config, notes)
    return SubjectFacts(
        config=model.config,
        weight_bytes=model.weight_bytes,
        itemsize=model.itemsize,
        dtype=model.dtype,
        is_quantized=model.is_quantized,
        saes=saes,
        lengths=asked.lengths,
        template_tokens=asked.template_tokens,
        notes=tuple(notes),
        null_saes=_null_saes(config, list(saes), d_model=model.config.hidden_size),
        n_lookalikes=asked.n_lookalikes,
        categories=asked.categories,
        n_categories=_n_categories(config),
    )


def _n_categories(config: AuditConfig) -> int:
    asked = config.categories.taxonomy
    return 0 if asked is None else len(read_taxonomy(asked).categories)


@dataclass(frozen=True, kw_only=True)
class _Model:
    config: Any
    weight_bytes: int
    itemsize: int
    dtype: str
    is_quantized: bool = False
    opened: Checkpoint | None = None
    """None if its shape is taken from the table."""


def _model(config: AuditConfig, notes: list[str]) -> _Model:
    options = replace(model_options(config), adapter=None)
    try:
        # Of a repository, only the config is fetched.
        opened = Checkpoint(config.model, options, config_only=True)
    except AuditError as error:
        repository = repository_of(config.model, config.revision, "model")
        if repository is None or repository.name not in _TABLE:
            raise
        notes.append(f"{error} The shape of {repository.name} is taken from a table.")
        return _from_table(repository.name)
    refuse_architecture(opened.config)
    opened.check_builds()
    try:
        opened.check_reader()
    except AuditError as error:
        notes.append(f"{error} So it is as far as this machine goes.")
    if config.quantization is not None:
        try:
            quantized(config.quantization)
        except AuditError as error:
            notes.append(f"{error} So it is as far as this machine goes.")
    adapter = config.adapter
    if adapter is not None:
        tuned = Checkpoint(config.model, replace(options, adapter=adapter), config_only=True)
        if not tuned.check_adapter_headers():
            notes.append("Whether the adapter is whole shows when it is loaded.")
        notes += [_as_note(said)] if (said := adapters_base(tuned)) else []
    if opened.gguf is not None:
        # Dequantised to float32, whatever the file's size.
        itemsize = ITEMSIZES["float32"]
        n_bytes = opened.gguf.header.n_parameters * itemsize
        return _Model(
            config=opened.text_config,
            weight_bytes=n_bytes,
            itemsize=itemsize,
            dtype="float32",
            opened=opened,
        )
    found = tensors_of(opened)
    if isinstance(found, str):
        notes.append(found)
    elif not opened.check_headers(found.shapes):
        notes.append("Whether the weights are whole shows when they are loaded.")
    held = opened.place.held
    if held is not None:
        n_bytes = sum(held.sizes[name] for name in weight_files(held))
    else:
        n_bytes = sum(file.stat().st_size for file in opened.weights)
    in_files = None if isinstance(found, str) else found.dtype
    own = own_dtype(opened.config) or in_files or "float32"
    return _Model(
        config=opened.text_config,
        weight_bytes=n_bytes,
        itemsize=ITEMSIZES[in_files or own],
        dtype=own,
        is_quantized=opened.is_quantized,
        opened=opened,
    )


def _from_table(name: str) -> _Model:
    import transformers

    shape = dict(_TABLE[name])
    kind = transformers.AutoConfig.for_model(shape.pop("model_type"), **shape)
    attention = kind.hidden_size * kind.head_dim * 2
    attention *= kind.num_attention_heads + kind.num_key_value_heads
    layer = attention + 3 * kind.hidden_size * kind.intermediate_size
    n_embeddings = 1 if kind.tie_word_embeddings else 2
    n = kind.num_hidden_layers * layer + n_embeddings * kind.vocab_size * kind.hidden_size
    return _Model(
        config=kind,
        weight_bytes=n * ITEMSIZES[_TABLE_DTYPE],
        itemsize=ITEMSIZES[_TABLE_DTYPE],
        dtype=_TABLE_DTYPE,
    )


def _as_note(said: str) -> str:
    return f"{said[0].upper()}{said[1:]}."


def _saes(config: AuditConfig, model: Checkpoint | None, notes: list[str]) -> dict[int, SaeConfig]:
    catalog = read_catalog(config.catalog)
    try:
        places = sae_places(config.saes, catalog=catalog, layers=config.layers, l0=config.sae_l0)
    except AuditError as error:
        # A catalog suite of known width needs no hub; a request for what it lacks is still an error.
        suite = next((s for s in catalog if s.name == config.saes.partition("@")[0]), None)
        if suite is None or suite.width is None:
            raise
        asked = set(suite.layers if config.layers is None else config.layers)
        if not asked <= set(suite.layers):
            raise
        notes.append(f"{error} The SAEs' sizes are those of the catalog.")
        described = SaeConfig(
            d_model=suite.d_model, width=suite.width, hook=None, architecture=suite.architecture
        )
        return dict.fromkeys(sorted(asked), described)
    saes = {place.layer: _described(place) for place in places}
    if model is not None:
        notes += map(_as_note, saes_bases(model, places, saes))
    return saes


def _null_saes(
    config: AuditConfig, audited: Sequence[int], *, d_model: int
) -> tuple[Mapping[int, SaeConfig], ...]:
    catalog = read_catalog(config.catalog)
    places = [null_places(one, audited, catalog=catalog) for one in config.evidence.null_saes]
    return tuple(null_configs(one, d_model=d_model) for one in places if one)


def _described(place: SaePlace) -> SaeConfig:
    if place.width is not None and place.d_model is not None:
        # The catalog has the values, so no file is requested.
        return SaeConfig(
            d_model=place.d_model, width=place.width, hook=None, architecture=place.architecture
        )
    try:
        return sae_config(place)
    except AuditError as error:
        raise AuditError(
            f"{error} Without it the plan does not know how large the SAEs are."
        ) from error


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The prompts of an audit, as far as known."""

    lengths: tuple[int, ...]
    """Tokens of each prompt of train, validation and audit."""
    template_tokens: int
    """Tokens of the template after the text."""
    n_lookalikes: int
    categories: tuple[CategorySize, ...] = ()


def _asked(config: AuditConfig, notes: list[str]) -> _Asked:
    # Spread around the mean like short requests, so that batches get a realistic size.
    lengths = tuple(_TOKENS_BEFORE + _TEMPLATE_TOKENS + n for n in _TEXT_TOKENS)
    assumed = _Asked(
        lengths=lengths,
        template_tokens=_TEMPLATE_TOKENS,
        n_lookalikes=config.prompts.most_lookalikes,
    )
    taken = f"prompts are taken to be {lengths[0]} to {lengths[-1]} tokens long"
    try:
        missing = [what for what, held, files in _pending(config) if missing_bytes(held, files)]
    except AuditError as error:
        notes.append(f"{error} Until then {taken}.")
        return assumed
    if missing:
        notes.append(f"Not downloaded yet: {' and '.join(missing)}; {taken}.")
        return assumed
    prompts = [p for source in kept_sources(config.prompts.sources) for p in source.prompts]
    splits = split_prompts(prompts, config.prompts, config.seed)
    opened = Checkpoint(
        config.model,
        ModelOptions(revision=config.revision, trust_remote_code=config.trust_remote_code),
    )
    template = chat_template(
        opened.tokenizer(),
        template_file=None if config.chat_template is None else named_file(config.chat_template),
        system_prompt=config.system_prompt,
        options=config.template_options,
        answer_prefix=config.answer_prefix,
    )
    template = template.fitted(opened.text_config)
    readout = readout_of(
        config.readout,
        template.tokenizer,
        opened.text_config,
        refusal_tokens=config.refusal_tokens,
    )
    if readout is None:
        check_no_open_thoughts(template)
        notes.append(
            "Refusal tokens are looked for in the model's own answers; those passes are not counted."
        )
    chosen = [prompt for part in splits.named().values() for prompt in part]
    audited = categories_of((*splits.audit.harmful, *splits.audit.harmless))
    return _Asked(
        lengths=tuple(len(template.tokens(prompt.text)) for prompt in chosen),
        template_tokens=template.n_after,
        n_lookalikes=len(splits.lookalikes),
        categories=audited,
    )


def _pending(config: AuditConfig) -> list[tuple[str, Listing, list[str]]]:
    """Downloads that are needed before prompts can be tokenised."""
    found = [
        ("the prompts", held, paths) for held, paths in sources.downloads(config.prompts.sources)
    ]
    repository = repository_of(config.model, config.revision, "model")
    if repository is not None:
        held = listing(repository)
        found.append(("the tokenizer", held, needed_files(held, code=False)))
    return found
