"""The small files of a checkpoint: which are read, are valid, or change the model unasked."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.untrusted import read_bytes, read_json, shown

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

_READ = ("config.json", "generation_config.json", "model.safetensors.index.json")
_READ_PATTERNS = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tekken.json",
    "normalizer.json",
    "*.model",
    "*.tiktoken",
    "chat_template*",
    "additional_chat_templates/*.jinja",
)
"""Patterns of the file names that transformers' tokenizers open."""
_VOCABULARIES = (
    *("tokenizer.json", "tokenizer.*.json", "vocab.json", "vocab.txt", "tekken.json"),
    *("*.model", "*.tiktoken"),
)
_LARGEST = {
    "num_hidden_layers": 4096,
    "n_layer": 4096,
    "n_layers": 4096,
    "num_layers": 4096,
    "vocab_size": 1 << 27,
}
"""Largest values by key, far above any model's; beyond them, loading would not end."""
_LARGEST_SIZE = 1 << 24
"""Limit of widths, heads and experts."""
_LARGEST_OTHER = 1 << 48
_SIZES = ("_size", "_dim", "_heads", "_experts", "_rank")
_WHOLE = ("num_hidden_layers", "hidden_size", "vocab_size", "num_attention_heads")
"""Keys that must hold one whole number, if present."""
_ACTING = {
    "transformers_weights": "names another file of weights than the usual",
    "fusion_config": "exchanges modules of the model",
    "distributed_config": "spreads the model over several processes",
    "kernel_config": "exchanges modules of the model",
    "configuration_files": "names another file to be read in its place",
}
"""Keys of config.json that change what is loaded."""


def files_read(folder: Path, names: Sequence[str] | None, *, code: bool) -> tuple[Path, ...]:
    """The small files that loading reads from a checkpoint's folder, in a fixed order.

    `names` are the repository's files: its cached folder may hold others.
    """
    patterns = (*_READ, *_READ_PATTERNS, *(("*.py",) if code else ()))
    found = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    relative = {file.relative_to(folder).as_posix(): file for file in found}
    return tuple(file for name, file in sorted(relative.items()) if names is None or name in names)


def sha256_of_small(parts: Mapping[str, Sequence[Path]]) -> str:
    """One hash of the names and bytes of these files, by the part they belong to.

    Raises:
        AuditError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for part, files in parts.items():
        for file in files:
            content = read_bytes(file)
            digest.update(f"{part}\0{file.name}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def checked_config(file: Path) -> dict[str, Any]:
    """The contents of a `config.json`, checked so that loading it ends.

    Raises:
        AuditError: The file is not a JSON object; a size is implausible or not a number; a key has
            another config, other weights or modules loaded than the checkpoint's own.
    """
    found = checked_object(file)
    for key, does in _ACTING.items():
        if found.get(key) is not None:
            raise AuditError(
                f"{shown(file)} has {key}, which {does}; remove it from the file if you trust the "
                "rest of the checkpoint."
            )
    for name, value in _settings(found):
        _check_size(file, name, value)
        if name.strip("_") == "attn_implementation" and "/" in str(value):
            raise AuditError(
                f"{shown(file)} has {shown(name)}: {shown(repr(value), 60)}, which has code of a "
                "repository compute attention; remove it from the file."
            )
        if name == "return_dict" and value is False:
            raise AuditError(
                f"{shown(file)} has return_dict: false, by which the model's parts answer without "
                "names; remove it from the file."
            )
    check_ids(file, found)
    return found


def check_ids(file: Path, found: Mapping[str, Any]) -> None:
    """Check that the ids of special tokens are valid: with an invalid one, answers would never end.

    Raises:
        AuditError: An id is neither a whole number nor, if a model may have several, a list of them.
    """
    for name in ("eos_token_id", "bos_token_id", "pad_token_id"):
        value = found.get(name)
        ids = value if isinstance(value, list) else [value]
        if value is not None and not all(type(one) is int for one in ids):
            raise AuditError(
                f"{shown(file)} has {name}: {shown(repr(value), 60)}, where a token's id (a whole "
                "number) is needed; correct it."
            )


def checked_object(file: Path) -> dict[str, Any]:
    """The contents of a file that must hold a JSON object.

    Raises:
        AuditError: The file holds something else.
    """
    found = read_json(file)
    if not isinstance(found, dict):
        raise AuditError(f"{shown(file)} holds no JSON object, as it must; get the file again.")
    return found


def _settings(found: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, including those of nested objects."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield key, value
            yield from _settings(value)
    elif isinstance(found, list):
        for value in found:
            yield from _settings(value)


def _check_size(file: Path, name: str, value: Any) -> None:
    if name in _WHOLE and value is not None and (type(value) is not int or value < 0):
        raise AuditError(
            f"{shown(file)} has {name}: {shown(repr(value), 60)}, where a whole number is needed; "
            "correct it."
        )
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, int) or isinstance(one, bool):
            continue
        largest = _LARGEST.get(name, _LARGEST_SIZE if name.endswith(_SIZES) else _LARGEST_OTHER)
        if abs(one) > largest:
            raise AuditError(
                f"{shown(file)} has {shown(name)}: {shown(one, 30)}, and no model has more than "
                f"{largest:,}; correct it."
            )


def check_strays(names: Sequence[str], where: str, *, adapter_is_own: bool) -> None:
    """Refuse files in a model's folder that change it unasked.

    Raises:
        AuditError: The folder has adapter files, which transformers would apply, although no adapter was
            requested; or shards of a distributed checkpoint, which it would read instead of the weights.
    """
    adapter = next((n for n in names if n.startswith(("adapter_config.", "adapter_model."))), None)
    if adapter is not None and not adapter_is_own:
        raise AuditError(
            f"{where} holds {shown(adapter)}, an adapter's file beside the model's own; pass --adapter "
            "with that folder if the adapter is to be applied, or remove the file."
        )
    shard = next((name for name in names if name.startswith("shard-")), None)
    if shard is not None and shard.endswith(".safetensors"):
        raise AuditError(
            f"{where} holds {shown(shard)}, which would be read in place of its weights; remove it, or "
            "save the model with save_pretrained(...)."
        )


def check_vocabulary(
    tokenizer: Any, n_rows: int, where: str, ids: Mapping[str, Sequence[int]] | None = None
) -> None:
    """Check that the model has an embedding for every token that it can be given.

    Words added to a tokenizer, such as padding, may lie beyond; the special `ids`, by purpose, may not.

    Raises:
        AuditError: A token's id is at least `n_rows`.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})
    beyond = {word: i for word, i in tokenizer.get_vocab().items() if i >= n_rows}
    own = [word for word, i in beyond.items() if i not in added]
    asked = {what: i for what, some in (ids or {}).items() for i in some if i >= n_rows}
    if not own and not asked:
        return
    what, i = (
        next(iter(asked.items())) if asked else (f"the word {shown(own[0])!r}", beyond[own[0]])
    )
    raise AuditError(
        f"The tokenizer of {where} has the id {i} for {what}, and the model has embeddings of ids up to "
        f"{n_rows - 1}; copy the tokenizer's files of the model that it was made from into the folder."
    )


def check_has_tokenizer(folder: Path, tokenizer: Any, where: str) -> None:
    """Check that the tokenizer comes from files: without them, some kinds invent five words.

    Raises:
        AuditError: There is no vocabulary file, or as `check_tells_texts_apart`.
    """
    names = dict(getattr(tokenizer, "vocab_files_names", None) or {})
    own = tuple(name for kind, name in names.items() if kind in ("vocab_file", "tokenizer_file"))
    if not any(file.is_file() for name in (*_VOCABULARIES, *own) for file in folder.glob(name)):
        raise AuditError(
            f"{where} has no tokenizer (tokenizer.json, tokenizer.model or vocab.json); copy the "
            "tokenizer's files of the model that it was made from into the folder."
        )
    check_tells_texts_apart(tokenizer, where)


def check_tells_texts_apart(tokenizer: Any, where: str) -> None:
    """
    Raises:
        AuditError: Two different texts become the same tokens.
    """
    try:
        ids = _ids_of_different_texts(tokenizer)
    except Exception as error:
        # A setting of the wrong type shows only when the tokenizer is used.
        raise AuditError(
            f"The tokenizer of {where} cannot be used ({type(error).__name__}: "
            f"{shown((str(error).strip() or 'no reason given').splitlines()[0])}); get its files again."
        ) from error
    if len(ids) < 2:
        raise AuditError(
            f"The tokenizer of {where} gives different texts the same tokens; copy the tokenizer's "
            "files of the model that it was made from into the folder."
        )


def _ids_of_different_texts(tokenizer: Any) -> set[tuple[int, ...]]:
    special = set(tokenizer.all_special_ids)
    words = [word for word, i in tokenizer.get_vocab().items() if i not in special]
    texts = ["two different texts", *(tokenizer.convert_tokens_to_string([w]) for w in words[:64])]
    return {tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts}
