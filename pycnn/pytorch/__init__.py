"""Networks in PyTorch, where they are trained. Imported only where PyTorch is asked for."""

from __future__ import annotations

from types import ModuleType

from pycnn.errors import UnsupportedError

__all__ = ["require_torch"]


def require_torch() -> ModuleType:
    """Import PyTorch.

    Raises
    ------
    UnsupportedError
        It is not installed; the message says how to install it.
    """
    try:
        import torch
    except ImportError:
        raise UnsupportedError(
            "training needs PyTorch, which is not installed: pip install 'pycnn[train]'"
        ) from None
    return torch
