"""The one way numba is used here: which options every compiled function shares, and why."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` compiled on first use.

    Cached on disk; the interpreter lock is released, so that threads may share the work; division follows IEEE 754
    (no exception at zero, which also lets loops vectorise); no fast-math, which would reorder sums and lose NaN.
    """
    return cast("Callable[P, R]", njit(cache=True, nogil=True, error_model="numpy")(function))


def kernel_over(*modules: ModuleType) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return ``kernel`` for a function whose machine code holds kernels or constants of other ``modules``.

    numba renews a cached function when its own file changes, and only then: without the digest in its name, a kernel
    corrected in another file would go on being answered by yesterday's machine code.
    """
    digest = hashlib.sha256("".join(inspect.getsource(module) for module in modules).encode()).hexdigest()[:12]

    def compiled(function: Callable[P, R]) -> Callable[P, R]:
        function.__qualname__ = f"{function.__qualname__}_{digest}"
        return kernel(function)

    return compiled


def _uncounted(_typing: Any, array: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the type of ``uncounted`` and what writes its instructions, as numba wants an intrinsic to."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        view.meminfo, view.parent = view.meminfo.type(None), view.parent.type(None)
        return view._getvalue()

    return array(array), codegen


#: An argument's array, whose slices are not counted: it belongs to the caller, who outlives the call. Counting a slice
#: takes as long as ten values, and threads that count slices of one array wait for each other.
uncounted = cast("Callable[[R], R]", intrinsic(_uncounted))
