"""A whole audit at full size without the weights: time and peak memory of every stage.

    uv run python -m benchmarks.full_size --shape gemma2-2b --folder /tmp/full-size
    uv run python -m benchmarks.full_size --shape llama3.1-8b --device cuda --folder /tmp/full-size

Builds a checkpoint of the model's true shape with random weights and SAEs of true width, saves them
as any checkpoint is saved, and audits them on a handful of prompts through `sae_audit.audit`. What
`sae-audit plan` estimates beforehand stands beside what is then measured.

The model is random but for one vector: the refusal token's unembedding, which is solved for so that
harmful prompts are refused and harmless ones answered. And one feature of each SAE lies along the
difference of the two, so that there is something to find: without, the later stages would be empty.
Numbers of the audit itself mean nothing here.
"""

import argparse
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import shapes
from benchmarks.shapes import Shape
from sae_audit import audit
from sae_audit.config import AuditConfig
from sae_audit.findings.stages import LOADING, Step
from sae_audit.hub import gigabytes
from sae_audit.planning.plan import Plan, make_plan
from sae_audit.record.run import Run

SHAPES = {
    "gemma2-0.4b": shapes.SHAPES["gemma2-0.4b"],
    "gemma2-2b": shapes.SHAPES["gemma2-2b"],
    "llama3.1-8b": Shape(
        family="llama",
        n_layers=32,
        d_model=4096,
        d_mlp=14_336,
        n_heads=32,
        n_kv_heads=8,
        d_head=128,
        n_vocabulary=128_256,
        d_sae=32_768,
    ),
}
_REFUSAL = "w0"
_MARGIN = 1.5
"""Nats by which a prompt is refused, or answered."""
_N_PROMPTS = 12
"""Of each label: 4 for training, 4 for validation, 4 audited."""
_FIRING = 0.01
"""Share of a random SAE's features that fire at a position; published ones: .002 to .01."""


def main() -> None:
    arguments = _arguments()
    shape = SHAPES[arguments.shape]
    folder = Path(arguments.folder) / arguments.shape
    if not (folder / "complete").exists():
        print("building ...", flush=True)
        build(shape, folder, device=arguments.device, n_words=arguments.words)
    if arguments.build_only:
        return
    config = _config(folder, arguments)
    plan = make_plan(config)
    shutil.rmtree(folder / "run", ignore_errors=True)
    started = time.perf_counter()
    with peaks_by_stage() as watch:
        run = audit(config, folder / "run", progress=watch.progress)
    show(arguments.shape, plan, run, watch, time.perf_counter() - started)


def build(shape: Shape, folder: Path, *, device: str, n_words: int) -> None:
    """A checkpoint of this shape with its SAEs and prompts, saved in bfloat16 and float32."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prompts = [
        {
            "id": f"{label}-{i}",
            "text": shapes.random_words(n_words, seed=2 * i + (label == "harmful")),
            "label": label,
        }
        for label in ("harmful", "harmless")
        for i in range(_N_PROMPTS)
    ]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    torch.manual_seed(0)
    tokenizer = shapes.tokenizer()
    network = shapes.network(shape, torch.bfloat16).to(device).eval()
    texts = [_rendered(tokenizer, prompt["text"]) for prompt in prompts]
    streams, final = _readings(network, [torch.tensor(ids) for ids in texts])
    refused = torch.tensor([prompt["label"] == "harmful" for prompt in prompts])
    token = tokenizer.convert_tokens_to_ids(_REFUSAL)
    _teach(network, final, refused, token)
    network.save_pretrained(folder / "model", max_shard_size="2GB")
    tokenizer.save_pretrained(folder / "model")
    del network
    for layer in range(shape.n_layers):
        at = streams[layer]
        _sae(shape, layer, at[refused], at[~refused]).save_model(folder / "saes" / f"layer_{layer}")
    (folder / "complete").touch()


def _rendered(tokenizer: Any, text: str) -> list[int]:
    turns = [{"role": "user", "content": text}]
    whole = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return tokenizer(whole, add_special_tokens=False)["input_ids"]


@torch.no_grad()
def _readings(network: Any, prompts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """`resid_post` of every layer at the last position, and the final norm's output there."""
    streams: list[list[Tensor]] = [[] for _ in network.model.layers]
    final: list[Tensor] = []
    handles = [
        layer.register_forward_hook(
            lambda _m, _a, out, kept=kept: kept.append(
                (out[0] if isinstance(out, tuple) else out)[0, -1].float().cpu()
            )
        )
        for layer, kept in zip(network.model.layers, streams, strict=True)
    ]
    handles.append(
        network.model.norm.register_forward_hook(
            lambda _m, _a, out: final.append(out[0, -1].float().cpu())
        )
    )
    try:
        for ids in prompts:
            network(input_ids=ids[None].to(network.device), logits_to_keep=1)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack([torch.stack(kept) for kept in streams]), torch.stack(final)


@torch.no_grad()
def _teach(network: Any, final: Tensor, refused: Tensor, token: int) -> None:
    """Give the refusal token the smallest unembedding with which the prompts are treated as labelled."""
    head = network.get_output_embeddings().weight
    rows = head.float().cpu()
    rows[token] = 0.0
    cap = getattr(network.config, "final_logit_softcapping", None)
    logits = final @ rows.T
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    logits[:, token] = -torch.inf
    wanted = logits.logsumexp(dim=-1) + torch.where(refused, _MARGIN, -_MARGIN)
    if cap is not None:
        wanted = cap * torch.atanh(wanted / cap)
    head[token] = (torch.linalg.pinv(final.double()) @ wanted.double()).to(head)


@torch.no_grad()
def _sae(shape: Shape, layer: int, harmful: Tensor, harmless: Tensor) -> Any:
    """A random JumpReLU SAE; its first feature measures how far a stream has gone towards refusing."""
    from sae_lens.saes import JumpReLUSAE, JumpReLUSAEConfig

    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=shape.d_model, d_sae=shape.d_sae, device="cpu"))
    generator = torch.Generator().manual_seed(layer)
    rows = torch.randn(shape.d_sae, shape.d_model, generator=generator)
    rows = torch.nn.functional.normalize(rows, dim=-1)
    size = torch.cat([harmful, harmless]).norm(dim=-1).mean() / shape.d_model**0.5
    towards = harmful.mean(dim=0) - harmless.mean(dim=0)
    rows[0] = towards / towards.norm()
    sae.W_dec.copy_(rows)
    sae.W_enc.copy_(rows.T)
    sae.b_dec.zero_()
    sae.b_enc.zero_()
    sae.b_enc[0] = -(harmless @ rows[0]).mean()
    # A random row's product with the stream is normal with the stream's own spread.
    at = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(1.0 - _FIRING))
    sae.threshold.fill_(float(at * size))
    sae.threshold[0] = 0.1 * float(towards.norm())
    sae.cfg.metadata.hook_name = f"blocks.{layer}.hook_resid_post"
    return sae


def _config(folder: Path, arguments: argparse.Namespace) -> AuditConfig:
    return AuditConfig.model_validate(
        {
            "model": str(folder / "model"),
            "saes": str(folder / "saes"),
            "prompts": {
                "sources": [str(folder / "prompts.jsonl")],
                **dict.fromkeys(("train", "validation", "audit"), _N_PROMPTS // 3),
            },
            "name": arguments.shape,
            "device": arguments.device,
            "refusal_tokens": [_REFUSAL],
            "confirm": "text",
            "answer_tokens": 8,
            # Random directions pass no filter; all are measured all the same.
            "direction": {"kl_limit": 1e9, "induce_floor": -1e9},
            "candidates": {"per_layer": arguments.per_layer},
            "interactions": {"n_masks": 64, "max_players": 8},
            "controls": {"random_sets": 2},
            "cascade": {"max_tested": 8},
        }
    )


class Watch:
    """The largest memory seen while each stage was the latest to tell its progress."""

    def __init__(self) -> None:
        self.stage = LOADING.name
        self.peaks: dict[str, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def progress(self, step: Step, done: int, total: int, /) -> None:
        stage = step.name
        if stage != self.stage:
            print(f"  {stage}", flush=True)
        self.stage = stage
        if total and done == total:
            self.stage = f"after {stage}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.05):
            now = memory_in_use()
            self.peaks[self.stage] = max(self.peaks.get(self.stage, 0), now)


@contextmanager
def peaks_by_stage() -> Iterator[Watch]:
    watch = Watch()
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def memory_in_use() -> int:
    """Bytes of this process in memory, mapped weights included, and a GPU's peak since the last call."""
    with open("/proc/self/status") as lines:
        sizes = dict(line.split(":", 1) for line in lines)
    on_device = 0
    if torch.cuda.is_available():
        # What was freed again since the last look counts too.
        on_device = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    return int(sizes["VmRSS"].split()[0]) * 1024 + on_device


def show(name: str, plan: Plan, run: Run, watch: Watch, seconds: float) -> None:
    """The plan beside what was measured, stage by stage."""
    cost = run.findings.cost
    print(f"\n{name}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"{'stage':16}{'passes':>9}{'planned':>9}{'seconds':>9}{'planned':>9}{'ratio':>7}{'peak':>9}"
    )
    planned = {stage.stage: stage for stage in plan.stages}
    for stage in run.manifest.stages:
        guess = planned.get(stage.stage)
        passes, guessed = (guess.forward_passes, guess.seconds) if guess else (0, 0.0)
        ratio = guessed / stage.seconds if stage.seconds > 0.05 else float("nan")
        peak = gigabytes(watch.peaks.get(stage.stage, 0))
        print(
            f"{stage.stage:16}{stage.forward_passes:9}{passes:9}{stage.seconds:9.1f}{guessed:9.1f}"
            f"{ratio:7.2f}{peak:>9}"
        )
    measured = sum(stage.seconds for stage in run.manifest.stages)
    print(
        f"{'all stages':16}{cost.forward_passes:9}{plan.forward_passes:9}{measured:9.1f}"
        f"{plan.stage_seconds:9.1f}{plan.stage_seconds / measured:7.2f}"
    )
    print(f"whole command {seconds:.1f} s, planned {plan.seconds:.1f} s with loading")
    peak = max(watch.peaks.values())
    print(
        f"peak memory {gigabytes(peak)}, planned {gigabytes(plan.memory.total)}, ratio "
        f"{plan.memory.total / peak:.2f}; largest the kernel saw "
        f"{gigabytes(run.manifest.peak_memory_bytes)}"
    )
    flipped = sum(found.flipped for found in run.minimal_sets)
    print(f"{flipped} of {len(run.minimal_sets)} prompts flipped, {len(run.cascades)} cascades")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=SHAPES, default="gemma2-2b")
    parser.add_argument("--folder", required=True, help="where the checkpoint is built, and kept")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--words", type=int, default=8, help="words in a prompt")
    parser.add_argument("--per-layer", type=int, default=2, help="candidates in every layer")
    parser.add_argument("--build-only", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
