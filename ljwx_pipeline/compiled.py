"""The one way numba is used here: which options every compiled function shares, and why.

numba renews a cached function when its own file changes, and only then, while the machine code holds the code of
everything it calls and the value of every constant it reads: a fee rule corrected in another file would go on being
answered by yesterday's machine code. What calls into other modules, or reads their constants, is therefore cached under
the source of these. Trading's kernels are cached under the source of all of trading: a list kept by hand at each kernel
is one import behind sooner or later.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit
from numba.core import cgutils
from numba.core.extending import intrinsic, overload
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

#: Where trading's kernels and the constants in them stand, and the options that they are compiled with; below the
#: library's folder.
_TRADING = (
    "compiled.py",
    "units.py",
    "trading/*.py",
    "backtest/engine.py",
    "market/rulebook*.py",
    "market/calendar.py",
)


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function``, of floats, compiled on first use.

    Cached on disk; the interpreter lock is released, so that threads may share the work; division follows IEEE 754
    (no exception at zero, which also lets loops vectorise); no fast-math, which would reorder sums and lose NaN.
    """
    return cast("Callable[P, R]", njit(cache=True, nogil=True, error_model="numpy")(function))


def kernel_over(*called: ModuleType) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return ``kernel`` for a function whose machine code holds kernels or constants of other modules.

    Parameters
    ----------
    called
        Every module whose kernels end up inside the compiled function, directly or through another.
    """

    def compile_it(function: Callable[P, R]) -> Callable[P, R]:
        return kernel(_named(function, _digest("".join(inspect.getsource(module) for module in called))))

    return compile_it


def trading_kernel(function: Callable[..., Any] | None = None, *, inline: bool = False) -> Any:
    """Return ``function``, of trading or of the backtest's loop, compiled on first use; options as for ``kernel``.

    But a division by zero raises, as no integer stands for it. Cached under ``trading_sources``.

    Parameters
    ----------
    inline
        Whether the function is made part of each of its callers: for small ones in inner loops.
    """

    def compile_it(function: Callable[..., Any]) -> Any:
        return njit(cache=True, nogil=True, forceinline=inline)(_named(function, _trading_digest()))

    return compile_it if function is None else compile_it(function)


def trading_sources() -> list[Path]:
    """Return the files under whose content trading's kernels are cached."""
    library = Path(__file__).parent
    return [path for pattern in _TRADING for path in sorted(library.glob(pattern))]


@lru_cache(maxsize=1)
def _trading_digest() -> str:
    return _digest("".join(path.read_text(encoding="utf-8") for path in trading_sources()))


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def _named(function: Callable[P, R], digest: str) -> Callable[P, R]:
    function.__qualname__ = f"{function.__qualname__}_{digest}"
    return function


def borrowed(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array; in compiled code, one whose rows may be taken without counting references.

    Counting is an atomic operation for every row taken: a quarter of a backtest's time, as long as ten values of a
    factor, and threads that take rows of one array wait for each other. The caller of the compiled function must hold
    the array for as long as it runs, as every caller of a kernel does.
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
