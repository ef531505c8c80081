"""A user's own file: what it may define, how it is called, and a verdict for each factor and step in it.

The file is Python code and is run, anew for every world, so that nothing it remembers carries over. It defines any of::

    FACTORS, def catalogue()                   expressions, as ``factors/factor_file.py`` reads them
    def factors(panel, ...): ...               {name: array of shape (symbols, sessions)}
    def factors_pandas(bars, ...): ...         a frame with the rows of bars, one column a factor
    def transform(features, labels, ...): ...  a frame with the rows of features: scaling, encoding, imputing
    def predict(features, labels, ...): ...    scores of the rows from train_stop on
    def choose(features, labels, ...): ...     whatever is chosen: parameters, features, rounds
    def split(sessions, ...): ...              pairs of training and tested sessions

and may declare ``DECISION = "open"``, ``UNIVERSE = "members"`` and ``WINDOW = n``. Further parameters are filled by
their names. Not here: limits of time and memory (``sandbox.py``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.factors.factor_file import FUNCTION, LIST, FactorFile, declared_with
from ljwx_pipeline.factors.leaks.findings import Finding, Values
from ljwx_pipeline.factors.leaks.function_checks import Declared, Judgement, MarketFunction, judge_function
from ljwx_pipeline.factors.leaks.market import TABLES, Market
from ljwx_pipeline.factors.leaks.pipeline_checks import judge_choice, judge_split, judge_transform, sample_table
from ljwx_pipeline.factors.leaks.suspicion import too_good

FACTOR_FUNCTIONS = ("factors", "factors_pandas")
STEPS = ("transform", "predict", "choose", "split")
_INERT = "nothing of the panel moves it: it comes from names, dates and tables alone, or from elsewhere, unseen"
_UNKNOWN = "not judged: it has no value anywhere on this market, whose sessions may be fewer than it looks back"


@dataclass(frozen=True)
class Verdict:
    """What the checks say of one factor or step.

    Parameters
    ----------
    name
        The factor, or the step's function.
    made_by
        ``FACTORS``, or the function of the file.
    findings
        None for an honest one.
    note
        What limits the verdict; usually empty.
    """

    name: str
    made_by: str
    findings: tuple[Finding, ...]
    note: str = ""

    @property
    def leaks(self) -> bool:
        """Whether anything was found."""
        return bool(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as plain values."""
        return {
            "name": self.name,
            "made_by": self.made_by,
            "verdict": "leak" if self.leaks else "clean",
            "kinds": sorted({finding.kind for finding in self.findings}),
            "note": self.note,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def judge_file(path: Path, market: Market, cuts: Sequence[int]) -> list[Verdict]:
    """Return one verdict a factor and step of the file, in its order.

    Raises
    ------
    FactorError
        When the file cannot be read or run, defines nothing to judge, or returns what cannot be judged.
    """
    source = _Source(path)
    module = source.fresh()
    declared = _declared(module)
    verdicts: list[Verdict] = []
    made_by = declared_with(module)
    if made_by is not None:
        exact = Declared(declared.decided_at_open, declared.members_only, None, exact=True)
        verdicts += _factor_verdicts(made_by, source.expressions, market, cuts, exact)
        verdicts = _with_warm_up(verdicts, source, market, cuts)
    for name in FACTOR_FUNCTIONS:
        if callable(getattr(module, name, None)):
            function = source.function(name)
            verdicts += _factor_verdicts(name, function, market, cuts, declared)
    steps = [name for name in STEPS if callable(getattr(module, name, None))]
    if steps:
        table = sample_table(market)
        judges: dict[str, Callable[..., list[Finding]]] = {
            "transform": judge_transform,
            "predict": lambda *arguments: judge_transform(*arguments, scores=True),
            "choose": judge_choice,
            "split": judge_split,
        }
        for name in steps:
            findings = judges[name](name, source.step(name), table)
            verdicts.append(Verdict(name, name, tuple(findings)))
    if not verdicts:
        raise FactorError(
            f"{path.name} defines nothing to judge",
            f"define {LIST}, or one of the functions {', '.join((FUNCTION, *FACTOR_FUNCTIONS, *STEPS))}",
        )
    return verdicts


def _factor_verdicts(
    made_by: str, function: MarketFunction, market: Market, cuts: Sequence[int], declared: Declared
) -> list[Verdict]:
    judged: Judgement = judge_function(function, market, cuts, declared)
    found: dict[str, list[Finding]] = {name: [] for name in judged.names}
    for finding in judged.findings:
        found[finding.factor].append(finding)
    unfound = {name: judged.whole[name] for name in judged.names if not found[name]}
    for finding in too_good(unfound, market.panel.fields["close"], market.panel.sessions):
        found[finding.factor].append(finding)
    return [Verdict(name, made_by, tuple(findings), _note(judged, name)) for name, findings in found.items()]


def _note(judged: Judgement, name: str) -> str:
    if np.isnan(judged.whole[name]).all():
        return _UNKNOWN
    return _INERT if name in judged.inert else ""


def _with_warm_up(verdicts: list[Verdict], source: _Source, market: Market, cuts: Sequence[int]) -> list[Verdict]:
    """Return the verdicts with those of the windows that expressions declare, each factor by its own."""
    from ljwx_pipeline.factors.leaks.catalogue_checks import warm_up_check

    expressions, out = source.named_expressions(), []
    for verdict in verdicts:
        expression = expressions[verdict.name]

        def computed(panel: Any, name: str = verdict.name, expression: Expr = expression) -> Mapping[str, Values]:
            return {name: evaluate({name: expression}, panel).of(name)}

        report = warm_up_check(computed, market.panel, cuts, window=expression.window)
        ahead = any(finding.kind == "look-ahead" for finding in verdict.findings)
        more = () if ahead else report.findings
        out.append(Verdict(verdict.name, verdict.made_by, (*verdict.findings, *more), verdict.note))
    return out


def _declared(module: ModuleType) -> Declared:
    said = {
        "DECISION": (getattr(module, "DECISION", "close"), ("close", "open")),
        "UNIVERSE": (getattr(module, "UNIVERSE", "all"), ("all", "members")),
    }
    for name, (value, allowed) in said.items():
        if value not in allowed:
            raise FactorError(f"{name} = {value!r} is unknown", f"write one of {', '.join(allowed)}")
    window = getattr(module, "WINDOW", None)
    if window is not None and (not isinstance(window, int) or isinstance(window, bool) or window < 1):
        raise FactorError(f"WINDOW = {window!r} is no number of sessions", "write a whole number, 1 or more")
    return Declared(said["DECISION"][0] == "open", said["UNIVERSE"][0] == "members", window)


class _Source(FactorFile):
    """The file's factors, functions and steps as functions of a market."""

    def named_expressions(self) -> dict[str, Expr]:
        """Return the declared factors as expressions by name."""
        return {factor.name: factor.expression for factor in self.factors()}

    def expressions(self, market: Market) -> Mapping[str, Values]:
        """Return the declared factors computed on a market."""
        values = evaluate(self.named_expressions(), market.panel)
        return dict(zip(values.names, values.values, strict=True))

    def function(self, name: str) -> MarketFunction:
        """Return a factor function of the file as a function of a market."""

        def computed(market: Market) -> Mapping[str, Values]:
            function = getattr(self.fresh(), name)
            bars = market.bars()
            offered = {"panel": market.panel, "bars": bars.copy(), **market.tables}
            first = ("panel",) if name == "factors" else ("bars",)
            answer = self._called(name, function, offered, first)
            return _dense(name, answer, market, bars)

        return computed

    def step(self, name: str) -> Callable[[Mapping[str, Any]], Any]:
        """Return a step of the file as a function of what it may ask for."""
        first = ("sessions",) if name == "split" else ("features", "labels")

        def stepped(offered: Mapping[str, Any]) -> Any:
            answer = self._called(name, getattr(self.fresh(), name), offered, first)
            return list(answer) if inspect.isgenerator(answer) else answer

        return stepped

    def _called(
        self, name: str, function: Callable[..., Any], offered: Mapping[str, Any], first: tuple[str, ...]
    ) -> Any:
        arguments: dict[str, Any] = {}
        positional: list[Any] = []
        for place, (wanted, parameter) in enumerate(inspect.signature(function).parameters.items()):
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if wanted in offered:
                value = offered[wanted]
            elif place < len(first):
                value = offered[first[place]]
            elif parameter.default is not parameter.empty:
                continue
            else:
                there = ", ".join(sorted(offered))
                absent = f"; this data does not know {wanted}" if wanted in TABLES else ""
                raise FactorError(f"{name} asks for {wanted!r}{absent}", f"ask for any of {there}")
            if parameter.kind is parameter.KEYWORD_ONLY:
                arguments[wanted] = value
            else:
                positional.append(value)
        return self.guarded(name, lambda: function(*positional, **arguments))


def _dense(made_by: str, answer: Any, market: Market, bars: pd.DataFrame) -> dict[str, Values]:
    """Return whatever a factor function returned as arrays over the market's panel."""
    if isinstance(answer, pd.Series):
        answer = answer.to_frame(name=answer.name or made_by)
    if isinstance(answer, pd.DataFrame):
        return _from_rows(made_by, answer, market, bars)
    if not isinstance(answer, Mapping) or not answer:
        raise FactorError(f"{made_by} returns {answer!r:.60}", "return {name: array} or a frame with the rows of bars")
    shape = (len(market.panel.symbols), len(market.panel.sessions))
    out: dict[str, Values] = {}
    for name, values in answer.items():
        array = np.asarray(_by_symbol(values, market) if isinstance(values, pd.DataFrame) else values)
        if array.shape != shape or array.dtype.kind not in "fiub":
            raise FactorError(
                f"factor {name} of {made_by} is {array.dtype} of shape {array.shape}, not numbers of shape {shape}",
                "return an array of (symbols, sessions)",
            )
        out[str(name)] = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    return out


def _by_symbol(wide: pd.DataFrame, market: Market) -> pd.DataFrame:
    """Return a frame of symbols by sessions, or the reverse, as one of the panel's symbols by its sessions."""
    upright = wide if wide.columns.isin(market.panel.sessions).all() else wide.T
    return upright.reindex(index=list(market.panel.symbols), columns=market.panel.sessions)


def _from_rows(made_by: str, frame: pd.DataFrame, market: Market, bars: pd.DataFrame) -> dict[str, Values]:
    keys = ["symbol", "session_date"]
    if set(keys) <= set(frame.columns):
        rows = frame[keys]
    elif frame.index.nlevels == 2:
        levels = [frame.index.get_level_values(level) for level in (0, 1)]
        dates = 0 if pd.api.types.is_datetime64_any_dtype(levels[0].dtype) else 1
        rows = pd.DataFrame({"symbol": levels[1 - dates], "session_date": levels[dates]})
    elif frame.index.isin(bars.index).all():
        rows = bars.loc[frame.index, keys]
    else:
        raise FactorError(
            f"{made_by} returns rows that are not those of bars", "keep the index, or the columns symbol, session_date"
        )
    panel = market.panel
    at_symbol = pd.Index(panel.symbols).get_indexer(pd.Index(rows["symbol"]))
    at_session = panel.sessions.get_indexer(pd.DatetimeIndex(rows["session_date"]))
    on = (at_symbol >= 0) & (at_session >= 0)  # a resampled frame may hold days that are no sessions
    flat = at_symbol[on] * len(panel.sessions) + at_session[on]
    if len(np.unique(flat)) != len(flat):
        raise FactorError(f"{made_by} returns two rows of one symbol and session", "return one row each")
    numbers = frame.select_dtypes(include=["number", "bool"]).drop(columns=list(bars.columns), errors="ignore")
    if numbers.columns.empty:
        raise FactorError(
            f"{made_by} returns no column of numbers beside those of bars", "give each factor a name of its own"
        )
    out: dict[str, Values] = {}
    for name in numbers.columns:
        values = np.full(len(panel.symbols) * len(panel.sessions), np.nan)
        values[flat] = numbers[name].to_numpy(dtype=np.float64)[on]
        out[str(name)] = values.reshape(len(panel.symbols), len(panel.sessions))
    return out
