"""A plan: time-series programs and, between them, cross-sections that want every symbol of a session at once.

A series without a cross-section is one program, as it always was. Otherwise the cross-sections stand in stages by how
deeply they nest: a stage's program computes what its cross-sections read, one panel a series, and the last program
computes the expressions. What an earlier stage has computed is read, not computed again; a panel is freed after its
last reader. Not here: running it (``evaluate.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ljwx_pipeline.expressions.lowering import instructions_of
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.program import Instruction, Op, Program, allocate
from ljwx_pipeline.expressions.sections import Section


@dataclass(frozen=True)
class SectionCall:
    """One cross-section: which statistic, its numbers, the panels (or fields) it reads, the panel it makes."""

    section: Section
    low: float
    high: float
    inputs: tuple[str, ...]
    result: str


@dataclass(frozen=True)
class Stage:
    """A program whose results are ``panels``, then cross-sections, then panels that nobody reads any more."""

    program: Program
    panels: tuple[str, ...]
    calls: tuple[SectionCall, ...]
    frees: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """How expressions are computed.

    Parameters
    ----------
    stages
        In order; none where no expression has a cross-section.
    last
        The program that stores the expressions.
    peak_panels
        Panels alive at the same time, at most.
    before, ahead
        Sessions that any value needs before and after its own.
    """

    stages: tuple[Stage, ...]
    last: Program
    peak_panels: int
    before: int
    ahead: int


#: Plans kept for the next call: a catalogue is evaluated every session, and its tree walked once.
PLANS_KEPT = 8


def plan_of(expressions: Mapping[str, Expr], known_fields: frozenset[str]) -> Plan:
    """Return the plan that computes ``expressions`` in their order; the same one for the same expressions and fields.

    Raises
    ------
    FactorError
        When one reads a field that is not known; the message names both.
    """
    return _plan_of(_Asked(tuple(expressions.items())), known_fields)


@dataclass(frozen=True, eq=False)
class _Asked:
    """Expressions by name; equal where they are the very same objects, because comparing trees walks all of them."""

    items: tuple[tuple[str, Expr], ...]

    def __hash__(self) -> int:
        return hash(tuple((name, id(expression)) for name, expression in self.items))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Asked) or len(self.items) != len(other.items):
            return False
        pairs = zip(self.items, other.items, strict=True)
        return all(name == others and mine is its for (name, mine), (others, its) in pairs)


@lru_cache(maxsize=PLANS_KEPT)
def _plan_of(asked: _Asked, known_fields: frozenset[str]) -> Plan:
    expressions = dict(asked.items)
    fields, instructions = instructions_of(expressions, known_fields)
    before = max(expression.window for expression in expressions.values()) - 1
    ahead = max(expression.horizon for expression in expressions.values())
    levels = _levels(instructions)
    if max(levels) == 0:
        return Plan((), allocate(fields, instructions), 0, before, ahead)
    names = {i: fields[item.integer] for i, item in enumerate(instructions) if item.op is Op.LOAD}
    drafts: list[tuple[Program, tuple[str, ...], tuple[SectionCall, ...]]] = []
    for level in range(1, max(levels) + 1):
        sections = [i for i, item in enumerate(instructions) if item.op is Op.SECTION and levels[i] == level]
        wanted = sorted({read for i in sections for read in instructions[i].reads} - set(names))
        program = _cut(instructions, wanted, names, fields, store=True)
        names |= {i: f"#{i}" for i in (*wanted, *sections)}
        calls = tuple(_call(instructions[i], names, names[i]) for i in sections)
        drafts.append((program, tuple(names[i] for i in wanted), calls))
    roots = [i for i, item in enumerate(instructions) if item.op is Op.STORE]
    last = _cut(instructions, roots, names, fields, store=False)
    stages = _freed(drafts, last)
    return Plan(stages, last, _peak(stages), before, ahead)


def _levels(instructions: Sequence[Instruction]) -> list[int]:
    """Return for each instruction how many cross-sections stand one upon the other in it."""
    levels: list[int] = []
    for item in instructions:
        below = max((levels[read] for read in item.reads), default=0)
        levels.append(below + 1 if item.op is Op.SECTION else below)
    return levels


def _cut(
    instructions: Sequence[Instruction],
    roots: list[int],
    names: Mapping[int, str],
    fields: tuple[str, ...],
    store: bool,
) -> Program:
    """Return the program that computes ``roots`` from what has a name; ``store`` adds their storing."""
    needed: set[int] = set()
    todo = list(roots)
    while todo:
        i = todo.pop()
        if i not in needed:
            needed.add(i)
            todo += () if i in names else instructions[i].reads
    sources = tuple(sorted({names[i] for i in needed if i in names}))
    place = {name: position for position, name in enumerate(sources)}
    at: dict[int, int] = {}
    cut: list[Instruction] = []
    for i in sorted(needed):
        item = instructions[i]
        if i in names:
            # a field is cleaned of infinite values; a panel is what the row was, whoever reads it
            cut.append(Instruction(Op.LOAD, integer=place[names[i]], number=float(names[i] not in fields)))
        else:
            reads = tuple(at[read] for read in item.reads)
            cut.append(Instruction(item.op, reads, item.integer, item.number, item.second))
        at[i] = len(cut) - 1
    if store:
        cut += [Instruction(Op.STORE, (at[i],), position, number=1.0) for position, i in enumerate(roots)]
    return allocate(sources, cut)


def _call(item: Instruction, names: Mapping[int, str], result: str) -> SectionCall:
    return SectionCall(
        Section(item.integer), item.number, item.second, tuple(names[read] for read in item.reads), result
    )


def _freed(drafts: list[tuple[Program, tuple[str, ...], tuple[SectionCall, ...]]], last: Program) -> tuple[Stage, ...]:
    """Return the stages, each with the panels that neither a later stage nor the last program reads."""
    stages: list[Stage] = []
    later = set(last.fields)
    made = {name for _, panels, calls in drafts for name in (*panels, *(call.result for call in calls))}
    for program, panels, calls in reversed(drafts):
        read = {*program.fields, *(name for call in calls for name in call.inputs)} & made
        mine = {*panels, *(call.result for call in calls)}
        stages.append(Stage(program, panels, calls, tuple(sorted((read | mine) - later))))
        later |= read
    return tuple(reversed(stages))


def _peak(stages: tuple[Stage, ...]) -> int:
    alive, peak = 0, 0
    for stage in stages:
        alive += len(stage.panels) + len(stage.calls)
        peak = max(peak, alive)
        alive -= len(stage.frees)
    return peak
