"""The compiling decorator of kernels that call kernels of other modules, and arrays without reference counts.

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
from numba.core import cgutils
from numba.core.extending import intrinsic, overload
from numba.np.arrayobj import make_array
from numpy.typing import NDArray


def kernel(*called: ModuleType, inline: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function, cached under the source of the modules it calls into.

    Parameters
    ----------
    called
        Every module whose kernels end up inside the compiled function, directly or through another.
    inline
        Whether the function is made part of each of its callers: for small ones in inner loops.
    """
    digest = hashlib.sha256("".join(inspect.getsource(module) for module in called).encode()).hexdigest()[:12]

    def compile_it(function: Callable[..., Any]) -> Any:
        function.__qualname__ = f"{function.__qualname__}_{digest}"
        return njit(cache=True, nogil=True, forceinline=inline)(function)

    return compile_it


def borrowed(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array; in compiled code, one whose rows may be taken without counting references.

    Counting is an atomic operation for every row taken, a quarter of a backtest's time. The caller of the compiled
    function must hold the array for as long as it runs, as every caller of a kernel does.
    """
    return array


@intrinsic
def _without_owner(typing_context: Any, array: Any) -> Any:  # noqa: ARG001 - numba's signature
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        made = make_array(array)(context, builder, value=arguments[0])  # type: ignore[no-untyped-call]
        made.meminfo = cgutils.get_null_value(made.meminfo.type)  # type: ignore[no-untyped-call]
        made.parent = cgutils.get_null_value(made.parent.type)  # type: ignore[no-untyped-call]
        return made._getvalue()

    return array(array), generate


@overload(borrowed)
def _borrowed(array):  # type: ignore[no-untyped-def]  # noqa: ARG001 - numba compares bare signatures
    def implementation(array):  # type: ignore[no-untyped-def]
        return _without_owner(array)  # type: ignore[call-arg]

    return implementation
