"""Checks of the machine alone: packages, device, memory, disk."""

import importlib.util
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

import psutil
import torch

from sae_audit import hub
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.hub import gigabytes
from sae_audit.pipeline.running import default_folder
from sae_audit.planning.checks import Check, attempted, failure, unknown
from sae_audit.planning.memory import free_host_bytes
from sae_audit.subject.model.devices import check_device_map, usable_device

_SHOWN = ("torch", "transformers", "sae-lens", "huggingface-hub")
_SPARE_BYTES = 256 << 20
"""Bytes that a download leaves free on the disk."""


def device_memory(device: str) -> tuple[int, int] | None:
    """Free and total bytes of a device, or of the host if it has no memory of its own; None if the
    driver reports nothing."""
    if torch.device(device).type == "cuda":
        try:
            return torch.cuda.mem_get_info(torch.device(device))
        except RuntimeError:
            return None
    return free_host_bytes(), psutil.virtual_memory().total


def check_packages() -> list[Check]:
    """Versions of packages, and whether they meet this installation's requirements."""
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {_version(name) or 'missing'}" for name in _SHOWN]
    wrong = _unmet()
    found = ", ".join(versions)
    if wrong:
        listed = " ".join(f"'{one}'" for one in wrong)
        found += f"; not as needed: {', '.join(wrong)}"
        return [
            Check(name="packages", status="failed", found=found, remedy=f"Run pip install {listed}")
        ]
    return [Check(name="packages", status="ok", found=found)]


def check_interactions(config: AuditConfig | None) -> list[Check]:
    """Whether fastFM, an optional solver, can be fitted."""
    try:
        importlib.import_module("fastFM.als")
    except (ImportError, ValueError) as error:  # ValueError: built for another numpy
        reason = (str(error) or type(error).__name__).splitlines()[0]
    else:
        return [Check(name="interactions", status="ok", found="fastFM can be imported")]
    if config is None or config.interactions.solver != "fm_als":
        found = f"fastFM cannot be imported ({reason}); its column is left out of the report"
        return [Check(name="interactions", status="note", found=found)]
    return [
        Check(
            name="interactions",
            status="failed",
            found=f"fastFM, the solver asked for, cannot be imported: {reason}",
            remedy="Install fastFM (pip install fastfm; it builds on Linux x86-64 only), or use "
            "another solver: --set interactions.solver=walsh.",
        )
    ]


def check_quantization(config: AuditConfig) -> list[Check]:
    """Whether quantised loading works, if requested."""
    if config.quantization is None:
        return []
    if importlib.util.find_spec("bitsandbytes") is None:
        return [
            Check(
                name="quantization",
                status="failed",
                found=f"{config.quantization} needs bitsandbytes, which is not installed",
                remedy="Install it (pip install 'sae-audit[quantized]'), or leave quantization out.",
            )
        ]
    return [Check(name="quantization", status="ok", found="bitsandbytes is installed")]


def check_device(asked: str) -> list[Check]:
    """The device of an audit, and its memory."""
    device = attempted(lambda: usable_device(asked))
    if isinstance(device, AuditError):
        remedy = "Name another with --device (auto takes the best there is)."
        return [failure("device", device, remedy), *_idle_gpu()]
    name = device
    if torch.device(device).type == "cuda":
        name = f"{device} ({torch.cuda.get_device_name(torch.device(device))})"
    memory = device_memory(device)
    if memory is None:
        return [unknown("device", f"{name} does not tell its memory")]
    free, total = memory
    room = f"{gigabytes(free)} of {gigabytes(total)} memory free"
    idle = _idle_gpu() if asked == "auto" and device == "cpu" else []
    return [Check(name="device", status="ok", found=f"{name}, {room}"), *idle]


def check_map(config: AuditConfig) -> list[Check]:
    """Whether the devices of a device_map are here; empty if they are."""
    sound = attempted(lambda: check_device_map(config.device_map))
    if not isinstance(sound, AuditError):
        return []
    return [failure("device_map", sound, "Name devices that this machine has, or leave it out.")]


def check_disk(missing: int, *, complete: bool) -> list[Check]:
    """Whether the disk has room for missing downloads; `complete` is false if more may be missing."""
    free = hub.free_disk_bytes()
    room = f"{gigabytes(free)} free where the hub's cache lies"
    if missing == 0 and complete:
        return [Check(name="disk", status="ok", found=f"{room}, nothing to download")]
    needed = f"{gigabytes(missing)} to download"
    if not complete:
        needed = f"at least {needed}" if missing else "how much is to be downloaded is not known"
    if missing and missing + _SPARE_BYTES > free:
        more = gigabytes(missing + _SPARE_BYTES - free)
        remedy = f"Make room for {more} more, or set HF_HOME to a larger disk."
        return [Check(name="disk", status="failed", found=f"{room}, {needed}", remedy=remedy)]
    if missing and not os.access(_existing(hub.cache_folder()), os.W_OK):
        found = f"the hub's cache {hub.cache_folder()} cannot be written, {needed}"
        return [
            Check(
                name="disk",
                status="failed",
                found=found,
                remedy="Set HF_HOME to a folder of yours.",
            )
        ]
    status = "ok" if complete else "unknown"
    return [Check(name="disk", status=status, found=f"{room}, {needed}")]


def check_output(config: AuditConfig | None) -> list[Check]:
    """Whether the run's folder is writable."""
    folder = attempted(lambda: Path("reports") if config is None else default_folder(config))
    if isinstance(folder, AuditError):
        return [failure("output", folder)]
    parent = _existing(folder)
    if parent.is_dir() and os.access(parent, os.W_OK):
        room = gigabytes(shutil.disk_usage(parent).free)
        return [Check(name="output", status="ok", found=f"{folder} can be written, {room} free")]
    return [
        Check(
            name="output",
            status="failed",
            found=f"{folder} cannot be written",
            remedy="Change to a folder of yours, or give the audit one with --out.",
        )
    ]


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _idle_gpu() -> list[Check]:
    """A GPU that torch does not use, reported by its driver."""
    if torch.cuda.is_available() or shutil.which("nvidia-smi") is None:
        return []
    if torch.version.cuda is None:
        found = "an NVIDIA driver is here, but this torch is built for the CPU alone"
        remedy = "Install torch with CUDA (pytorch.org/get-started), or go on with the CPU."
    else:
        found = f"an NVIDIA driver is here, but torch (CUDA {torch.version.cuda}) finds no GPU"
        remedy = "Look at nvidia-smi and CUDA_VISIBLE_DEVICES, or update the driver."
    return [Check(name="GPU", status="warning", found=found, remedy=remedy)]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _unmet() -> list[str]:
    """Unmet requirements of this installation, without fastFM."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires("sae-audit") or []
    except metadata.PackageNotFoundError:  # run from source without installation
        return []
    wrong: list[str] = []
    for needed in map(Requirement, lines):
        if needed.name == "fastfm" or (needed.marker and not needed.marker.evaluate({"extra": ""})):
            continue
        version = _version(needed.name)
        if version is None or not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name}{needed.specifier}")
    return wrong
