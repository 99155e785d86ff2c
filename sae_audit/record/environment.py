"""Versions and hardware of this machine, without naming it."""

import importlib.metadata
import os
import platform
import resource
import sys

import psutil

from sae_audit.record.facts import Environment

_PACKAGES = (
    "torch",
    "transformers",
    "sae-lens",
    "numpy",
    "scipy",
    "scikit-learn",
    "fastfm",
    "myfm",
)


def package_version() -> str:
    return importlib.metadata.version("sae-audit")


def environment(accelerator: str) -> Environment:
    """Versions and hardware; `accelerator` is the GPU's name, empty on a CPU."""
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={name: _version(name) for name in _PACKAGES},
        cores=os.cpu_count() or 1,
        memory_bytes=_memory_bytes(),
        accelerator=accelerator,
    )


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kibibytes, macOS bytes.
    return peak if sys.platform == "darwin" else peak * 1024


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _memory_bytes() -> int:
    return psutil.virtual_memory().total
