"""A user's own Python file of factors: how it is run, and the factors it declares. The only reader of such files.

It declares them in one of two ways::

    FACTORS = [Factor(...), ("NAME", expression), ...]    or {"NAME": expression, ...}, or a Catalogue
    def catalogue(): ...                                  returns a Catalogue

The file is code and runs with the rights of whoever calls this. Not here: what else a file may hold to be judged
(``leaks/user_file.py``), limits of time and memory (``leaks/sandbox.py``).
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ljwx_pipeline.errors import FactorError, LjwxError
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.factors.catalogue import Catalogue, Factor, catalogue

#: What a file declares its factors with.
LIST, FUNCTION = "FACTORS", "catalogue"
_MODULE = "ljwx_factor_file"
_UNSAID = "not stated"
#: Modules that files imported from beside them, and the folder on the search path for it: an interpreter has one of
#: each, so what one file left there is taken away before the next one runs.
_neighbours: set[str] = set()
_searched: set[str] = set()


class FactorFile:
    """The file, compiled once and run as often as asked.

    Raises
    ------
    FactorError
        When it cannot be read or is no Python.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._code = compile(path.read_bytes(), str(path), "exec")
        except OSError as error:
            raise FactorError(f"{path} cannot be read ({error.strerror})", "give the path of a Python file") from None
        except (SyntaxError, ValueError) as error:
            line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
            said = error.msg if isinstance(error, SyntaxError) else str(error)
            raise FactorError(f"{path.name} is no Python{line}: {said}", "mend the file") from None
        self._folder = path.resolve().parent

    def fresh(self) -> ModuleType:
        """Return the file's module, run anew with its neighbours: what an earlier call kept in globals is gone.

        So are the neighbours of any other file, which may have the same names: run one file at a time.
        """
        for name in _neighbours:
            sys.modules.pop(name, None)
        _neighbours.clear()
        sys.path[:] = [entry for entry in sys.path if entry not in _searched]
        _searched.clear()
        if str(self._folder) not in sys.path:
            sys.path.append(str(self._folder))  # last: no neighbour of the file takes a library's place
            _searched.add(str(self._folder))
        module = ModuleType(_MODULE)
        module.__file__ = str(self.path)
        sys.modules[_MODULE] = module
        self.guarded("the file", lambda: exec(self._code, module.__dict__))  # noqa: S102 - to run it is the command
        return module

    def factors(self) -> tuple[Factor, ...]:
        """Return the factors that the file declares, run anew and unchecked: a leak may be among them.

        A bare expression explains itself by its formula.

        Raises
        ------
        FactorError
            When it declares none, declares them twice, or something else in their place.
        """
        return self._declared(self.fresh())[1]

    def catalogue(self) -> Catalogue:
        """Return the checked catalogue, called as its ``Catalogue`` says or else as the file.

        Raises
        ------
        FactorError
            As ``factors``, and as ``factors.catalogue.catalogue``.
        """
        name, factors = self._declared(self.fresh())
        return catalogue(name, factors)

    def guarded(self, what: str, call: Callable[[], Any]) -> Any:
        """Return what ``call`` into the file's code returns; whatever that raises becomes a ``FactorError``."""
        before = frozenset(sys.modules)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what the file prints is not the command's answer
                return call()
        except (MemoryError, KeyboardInterrupt):
            raise
        except LjwxError as error:
            where = self._line(error)
            raise (FactorError(f"{error.fact}{where}", error.remedy) if where else error) from None
        except BaseException as error:  # the file may raise SystemExit or a class of its own
            where = self._line(error)
            raise FactorError(
                f"{what} raised {type(error).__name__}: {error}{where}",
                "mend it; `ljwx check-leaks FILE.py --verbose` shows the traceback",
            ) from error
        finally:
            _neighbours.update(name for name in sys.modules.keys() - before if self._is_neighbour(name))

    def _line(self, error: BaseException) -> str:
        """Return which line of the file an error came through, empty where none."""
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(self.path)]
        return f" in line {frames[-1].lineno} of {self.path.name}" if frames else ""

    def _declared(self, module: ModuleType) -> tuple[str, tuple[Factor, ...]]:
        how = declared_with(module)
        if how is None:
            raise FactorError(
                f"{self.path.name} declares no factor", f"define {LIST} = [Factor(...), ...] or a function {FUNCTION}()"
            )
        if how == FUNCTION:
            made = self.guarded(f"{FUNCTION}()", module.catalogue)
            if not isinstance(made, Catalogue):
                raise FactorError(
                    f"{FUNCTION}() of {self.path.name} returned {type(made).__name__}, not a Catalogue",
                    "return factors.catalogue.catalogue(name, factors)",
                )
        else:
            made = module.FACTORS
        if isinstance(made, Catalogue):
            return made.name, made.factors
        return self.path.stem, self.guarded(LIST, lambda: self._listed(made))

    def _listed(self, given: Any) -> tuple[Factor, ...]:
        if isinstance(given, Mapping):
            given = given.items()
        if not isinstance(given, Iterable) or isinstance(given, str):
            raise FactorError(
                f"{LIST} is {type(given).__name__}, no mapping and no list",
                "write [Factor(...), ...] or {name: expression}",
            )
        factors = tuple(self._factor(item) for item in given)
        if not factors:
            raise FactorError(f"{LIST} is empty", "name at least one factor")
        twice = sorted({one.name for one in factors if sum(other.name == one.name for other in factors) > 1})
        if twice:
            raise FactorError(f"two factors of {LIST} are called {twice[0]}", "give each a name of its own")
        return factors

    def _factor(self, item: Any) -> Factor:
        if isinstance(item, tuple | list) and len(item) == 2:
            name, item = item
            if isinstance(item, Expr):
                return Factor(str(name), item, str(item), self.path.name, _UNSAID)
            if isinstance(item, Factor) and item.name != name:
                raise FactorError(f"{LIST} calls factor {item.name} {name!r}", "give it one name")
            if not isinstance(item, Factor):
                raise FactorError(
                    f"factor {name} is a {type(item).__name__}, not an expression",
                    "build it from ljwx_pipeline.expressions.operators",
                )
        if not isinstance(item, Factor):
            raise FactorError(f"{LIST} holds {item!r:.60}", "write Factor(...) or (name, expression)")
        if not isinstance(item.expression, Expr):
            raise FactorError(
                f"factor {item.name} is a {type(item.expression).__name__}, not an expression",
                "build it from ljwx_pipeline.expressions.operators",
            )
        return item

    def _is_neighbour(self, name: str) -> bool:
        """Return whether a module was imported from the file's own folder, which may hold an environment too."""
        place = getattr(sys.modules[name], "__file__", None)
        if place is None or name.partition(".")[0] == "ljwx_pipeline":
            return False
        return Path(place).is_relative_to(self._folder) and "site-packages" not in Path(place).parts


def declared_with(module: ModuleType) -> str | None:
    """Return whether a file's module declares factors with ``FACTORS`` or ``catalogue()``; None where with neither.

    Raises
    ------
    FactorError
        With both.
    """
    maker = getattr(module, FUNCTION, None)
    has_maker = callable(maker) and maker is not catalogue  # the library's own may have been imported by its name
    if has_maker and hasattr(module, LIST):
        raise FactorError(f"the file declares factors with {LIST} and with {FUNCTION}()", "keep one of them")
    return FUNCTION if has_maker else LIST if hasattr(module, LIST) else None
