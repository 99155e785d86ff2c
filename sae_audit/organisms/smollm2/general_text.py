"""General text: what the documentation of installed packages says (BSD licences)."""

import inspect
from importlib import import_module

MODULES = (
    *("numpy", "numpy.linalg", "scipy.interpolate", "scipy.linalg", "scipy.ndimage"),
    *("scipy.optimize", "scipy.signal", "scipy.spatial", "scipy.stats"),
)
_SHORTEST = 400
"""Letters of a docstring that is more than a line."""


def general_text() -> list[str]:
    """Docstrings of public functions and classes in a fixed order, each once."""
    texts = []
    for name in MODULES:
        module = import_module(name)
        for member in sorted(module.__all__):
            one = getattr(module, member)
            if inspect.isfunction(one) or inspect.isclass(one):
                texts.append(inspect.cleandoc(one.__doc__ or ""))
    return list(dict.fromkeys(text for text in texts if len(text) >= _SHORTEST))
