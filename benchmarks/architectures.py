"""Which of transformers' causal architectures are audited exactly: the table of docs/architectures.md.

    uv run python -m benchmarks.architectures
    uv run python -m benchmarks.architectures --only llama gemma2 --out /tmp/two.md

Of every architecture that AutoModelForCausalLM knows a small random model is made from its default
config, with random SAEs, and tried: layers and what writes to the stream are found, the structural
check of loading is made, and the refusal scores of random feature sets, from layers run one by one on
the ends of prompts, are compared with those of plain hooks on the whole model. The table also holds
what is said from the config alone, before any weights.

Each architecture has its own time limit in a child process.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

_SECONDS = 300
_LAYERS = 8
_TOLERANCE = 1e-3
_WORDS = 96
_TOKENS_OF_FEATURES = 24

NEEDED: dict[str, dict[str, Any]] = {
    "cohere_compass_text": {
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1e4},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        }
    },
    "dbrx": {"attn_config": {"rope_theta": 1e4, "kv_n_heads": 2, "clip_qkv": 8.0}},
    "deepseek_v2": {"n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention", "conv"] * 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 8,
        "indexer_compress_ratio": 4,
    },
    "reformer": {"is_decoder": True, "axial_pos_embds": False},
    "xmod": {"default_language": "en_XX"},
}
"""Fields that a default config leaves out and every published one has."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What came out for one architecture."""

    name: str
    found: Literal["exact", "refused", "not tried"]
    beforehand: bool
    """Whether the config alone says so."""
    sentence: str
    difference: float | None
    """Largest between fast and literal scores, nats."""


def tried(name: str) -> Tried:
    """One architecture, in this process."""
    from transformers import CONFIG_MAPPING

    from sae_audit.errors import AuditError
    from sae_audit.subject.model.architecture import architecture_obstacle
    from sae_audit.subject.model.miniature import miniature

    def refused(sentence: str, *, beforehand: bool) -> Tried:
        return Tried(
            name=name, found="refused", beforehand=beforehand, sentence=sentence, difference=None
        )

    try:
        config = _config(CONFIG_MAPPING[name], NEEDED.get(name, {}))
    except Exception as error:
        return _not_tried(name, f"its default config cannot be made: {_line(error)}")
    obstacle = architecture_obstacle(config)
    if obstacle:
        return refused(obstacle, beforehand=True)
    model = miniature(config)
    if model is None:
        return _not_tried(name, "no small model of it can be made; it is tried when loaded")
    try:
        difference = _difference(model)
    except AuditError as error:
        return refused(str(error), beforehand=False)
    except Exception as error:
        return _not_tried(name, f"its small model cannot be run: {_line(error)}")
    if difference > _TOLERANCE:
        return refused("fast and literal scores differ", beforehand=False)
    return Tried(name=name, found="exact", beforehand=True, sentence="", difference=difference)


def _config(kind: Any, needed: dict[str, Any]) -> Any:
    """The default config, of few layers if it can be: all kinds of layers come early."""
    from sae_audit.subject.model.miniature import miniature

    whole = kind(**needed)
    if getattr(whole, "num_hidden_layers", 0) <= _LAYERS:
        return whole
    try:
        short = kind(**{**needed, "num_hidden_layers": _LAYERS})
        return whole if miniature(short) is None else short
    except Exception:
        return whole


def _not_tried(name: str, sentence: str) -> Tried:
    return Tried(name=name, found="not tried", beforehand=False, sentence=sentence, difference=None)


def _difference(model: Any) -> float:
    """Largest difference of scores, fast and literal, over sets of random features."""
    import numpy as np
    from sae_lens.saes import StandardSAE, StandardSAEConfig

    from sae_audit.organisms.random_saes import randomise
    from sae_audit.prompts.types import Label, Prompt
    from sae_audit.subject.loading import subject_of
    from sae_audit.subject.saes.sae import Sae
    from sae_audit.vocabulary import FeatureId

    n_layers = model.config.get_text_config().num_hidden_layers
    layers = sorted({0, n_layers // 2, n_layers - 1})
    suite: dict[int, Sae] = {}
    for layer in layers:
        width = model.config.get_text_config().hidden_size
        made = StandardSAE(StandardSAEConfig(d_in=width, d_sae=_TOKENS_OF_FEATURES, device="cpu"))
        randomise(made, layer=layer, seed=0)
        suite[layer] = Sae(
            made.eval().requires_grad_(requires_grad=False), layer=layer, id="", sha256=""
        )
    subject = subject_of(model, _tokenizer(), suite, refusal_tokens=["w60", "w61", "w62"])
    random = np.random.default_rng(0)
    features = [FeatureId(layer, i) for layer in layers for i in range(_TOKENS_OF_FEATURES)]
    sets = [
        frozenset(features[i] for i in random.choice(len(features), size, replace=False))
        for size in (1, 1, 2, 4, 8, len(features))
    ]
    prompts = [
        Prompt(id=text, text=text, label=Label.HARMFUL)
        for text in ("w10 w11 w12 w13 w14 w15 w16 w17", "w20 w21 w22", "w30 w31 w32 w33 w34")
    ]
    fast = subject.refusal_scores()([(prompt, one) for prompt in prompts for one in sets])
    literal = np.concatenate([subject.reference_score(prompt)(sets) for prompt in prompts])
    return float(np.abs(fast - literal).max())


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3}
    vocabulary |= {f"w{i}": i for i in range(len(vocabulary), _WORDS)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    made.chat_template = (
        "{{ bos_token }} w4 {% for message in messages %}{{ message['content'] }} w5 {% endfor %}w6"
    )
    return made


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def results(names: list[str]) -> Iterator[Tried]:
    """Each architecture's, tried by a child process that is replaced where it ends early."""
    waiting = list(names)
    while waiting:
        command = [sys.executable, "-m", "benchmarks.architectures", "--child", *waiting]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("{"):
                    done = Tried(**json.loads(line))
                    waiting.remove(done.name)
                    yield done
        if waiting:
            # The child sets its own alarm, and memory may end it as well.
            yield _not_tried(waiting.pop(0), f"it took more than {_SECONDS} s or too much memory")


def _child(names: list[str]) -> None:
    import signal
    import warnings

    import sae_lens  # noqa: F401  (its import is not to count against the first architecture)
    import transformers

    transformers.logging.set_verbosity_error()

    warnings.simplefilter("ignore")
    for name in names:
        signal.alarm(_SECONDS)
        print(json.dumps(asdict(tried(name))), flush=True)


def page(found: list[Tried]) -> str:
    """docs/architectures.md."""
    import transformers

    counts = {kind: sum(one.found == kind for one in found) for kind in ("exact", "refused")}
    late = sum(one.found == "refused" and not one.beforehand for one in found)
    rows = [f"| {one.name} | {_outcome(one)} | {_shown(one)} |" for one in found]
    return "\n".join(
        [
            "# Architectures",
            "",
            f"Made by `uv run python -m benchmarks.architectures` with transformers "
            f"{transformers.__version__}. Of the {len(found)} architectures that AutoModelForCausalLM "
            f"knows, {counts['exact']} are audited exactly, {counts['refused']} are refused "
            f"({'all' if not late else f'all but {late}'} of them when the config is read, before any "
            f"weights), and {len(found) - sum(counts.values())} could not be tried small: they are "
            "tried like every model when they are loaded.",
            "",
            "Tried are small random models of each default config with random SAEs, in float32. *Exact* "
            "means: what writes to the stream was found in every layer, a direction projected out of it "
            "is gone, and refusal scores of feature sets from layers run one by one on the ends of "
            "prompts are those of plain hooks on the whole model; the number is the largest difference, "
            "in nats. A published checkpoint's config may differ from the default one (a hybrid's layer "
            "kinds, keys and values shared between layers): it is its own config that is tried, by "
            "`sae-audit doctor`, `plan` and `audit`.",
            "",
            "| architecture | | largest difference, or why not |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _outcome(one: Tried) -> str:
    if one.found == "refused" and not one.beforehand:
        return "refused when loaded"
    return {"exact": "exact", "refused": "refused", "not tried": "not tried"}[one.found]


def _shown(one: Tried) -> str:
    return one.sentence if one.difference is None else f"{one.difference:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="MODEL_TYPE", help="instead of all")
    parser.add_argument("--out", type=Path, default=Path("docs/architectures.md"))
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        _child(asked.child)
        return
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found: list[Tried] = []
    for one in results(asked.only or list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)):
        found.append(one)
        print(f"{one.name}: {_outcome(one)}; {_shown(one)}", flush=True)
    asked.out.write_text(page(found))


if __name__ == "__main__":
    main()
