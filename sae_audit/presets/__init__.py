"""One complete config from a preset, a file and command-line settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.untrusted import parsed_yaml, path_fault, read_yaml, shown

_FOLDER = Path(__file__).parent


def preset_names() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def build_config(
    target: str | None, options: Mapping[str, Any], settings: Sequence[str]
) -> AuditConfig:
    """The config of a preset or YAML file, overridden by `options`, then by `key=value` settings.

    Options that are None count as not given. Keys of settings may be dotted (`candidates.per_layer=32`);
    values are read as YAML. Only options and settings, which come from the command line, can allow a
    checkpoint's own code.

    Raises:
        AuditError: There is no such preset or file, a key is unknown, a value is invalid, or a file
            allows a checkpoint's own code.
    """
    values = _read(target) if target is not None else {}
    if options.get("model") is not None:
        # The commit in a run's config belongs to its own model.
        values.pop("revision", None)
    for key, value in options.items():
        if value is not None:
            _place(values, key, value)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise AuditError(
                f"--set '{shown(setting)}' has no '='; write --set candidates.per_layer=32."
            )
        value = parsed_yaml(text, f"The value of --set '{shown(setting)}'")
        _place(values, key.strip(), value)
    try:
        return AuditConfig.model_validate(values)
    except ValidationError as error:
        raise AuditError(_first_fault(error, target)) from error


def _read(target: str) -> dict[str, Any]:
    is_preset = target in preset_names()
    path = _FOLDER / f"{target}.yaml" if is_preset else Path(target)
    if path_fault(target) or not path.exists():
        raise AuditError(
            f"No preset or config file '{shown(target)}'; presets are {', '.join(preset_names())}, or "
            "give --model, --saes and --prompts."
        )
    if path.is_dir():
        raise AuditError(f"{shown(path)} is a folder; name the config.yaml in it.")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise AuditError(
            f"{shown(path)} holds no settings; it needs at least model, saes and prompts."
        )
    stranger = next((key for key in values if not isinstance(key, str)), None)
    if stranger is not None:
        raise AuditError(f"{shown(path)} has a setting named {shown(stranger)}; names are words.")
    if values.pop("trust_remote_code", False):
        raise AuditError(
            f"{shown(path)} asks to run the checkpoint's own code (trust_remote_code), which no file "
            "may; take the line out, and if you have read that code and trust it, give "
            "--trust-remote-code."
        )
    return values


def _place(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise AuditError(
                f"'{shown(dotted)}': '{shown(parent)}' is a single value, it has no parts."
            )
        values = inner
    values[last] = value


_OPTION_OF = {"model": "--model", "saes": "--saes", "prompts": "--prompts"}


def _first_fault(error: ValidationError, target: str | None) -> str:
    fault = error.errors()[0]
    key = shown(".".join(_named(fault["loc"])))
    where = f" in {shown(target)}" if target is not None else ""
    match fault["type"]:
        case "extra_forbidden":
            return f"Unknown setting '{key}'{where}; docs/settings.md lists them all."
        case "missing":
            option = _OPTION_OF.get(key.split(".")[0], f"--set {key}=...")
            return f"The setting '{key}' is missing{where}; give {option}."
        case "tuple_type":
            value = shown(_repr(fault["input"]))
            return f"Setting '{key}'{where} is {value}; give a list: --set '{key}=[...]'."
        case "string_type" if isinstance(fault["input"], bool | int | float):
            # YAML reads no, yes, on, off and digits as values other than text.
            return (
                f"Setting '{key}'{where} is {shown(_repr(fault['input']))}, and a text is needed; put "
                "a word such as no or 12 in quotes of its own."
            )
        case "model_type" | "dict_type":
            return (
                f"Setting '{key}'{where} is {shown(_repr(fault['input']))}, and has parts; give those, "
                "as docs/settings.md lists them."
            )
        case "value_error" if not isinstance(fault["input"], str | int | float):
            # Settings that contradict each other; the message names them.
            reason = fault.get("ctx", {}).get("error", fault["msg"])
            return f"The settings{where} do not go together: {shown(reason)}."
        case _:
            reason = fault.get("ctx", {}).get("error", fault["msg"])
            return f"Setting '{key}'{where} is {shown(_repr(fault['input']))}: {shown(reason)}."


def _named(location: tuple[int | str, ...]) -> list[str]:
    """The parts of a setting's name, without pydantic's type names (`function-after[...]`, `float`)."""
    parts: list[str] = []
    fields: Any = AuditConfig
    for part in location:
        if fields is None and not isinstance(part, int):
            break
        parts.append(str(part))
        if isinstance(part, int):
            continue
        known = fields.model_fields.get(part) if fields is not None else None
        inner = known.annotation if known is not None else None
        fields = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
    return parts


def _repr(value: object) -> str:
    """The value, a text in quotes; for a long or nested one, its type alone."""
    if isinstance(value, str):
        return f"'{value[:100]}'" + ("..." if len(value) > 100 else "")
    if value is None or isinstance(value, bool | float):
        return str(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else "a number of many digits"
    return f"a {type(value).__name__}"
