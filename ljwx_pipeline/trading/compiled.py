"""The compiling decorator of kernels that call kernels of other modules; nothing about trading.

numba's cache of a function is stale only when the function's own file changes, while the machine code holds the code of
everything it calls. A changed fee rule would then be answered by yesterday's compiled loop.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from numba import njit


def kernel(*called: ModuleType) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function, cached under the source of the modules it calls into.

    Parameters
    ----------
    called
        Every module whose kernels end up inside the compiled function, directly or through another.
    """
    digest = hashlib.sha256("".join(inspect.getsource(module) for module in called).encode()).hexdigest()[:12]

    def compile_it(function: Callable[..., Any]) -> Any:
        function.__qualname__ = f"{function.__qualname__}_{digest}"
        return njit(cache=True, nogil=True)(function)

    return compile_it
