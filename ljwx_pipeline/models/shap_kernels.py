"""Compiled exact SHAP values of tree ensembles: tables by pattern of decisions, looked up by blocks of rows.

Path-dependent SHAP (Lundberg et al. 2018, the weights LightGBM's ``pred_contrib`` uses) of one leaf of value v whose
path splits on the distinct features 1..d: let o_i be 1 where the row satisfies every condition on feature i and z_i the
product of the training shares that went the path's way at these conditions. Then

    phi_i = v (o_i - z_i) integral over t in [0, 1] of prod_{j != i} (t o_j + (1 - t) z_j),

since t^s (1 - t)^(d - 1 - s) integrates to Shapley's weight s! (d - 1 - s)! / d!. The integrand is a polynomial of
degree d - 1, so Gauss's quadrature of ceil(d / 2) points is exact. phi depends on the row through d bits alone. Leaves
of one small subtree share most of their path: one table for all of them is indexed by the bits of the path above the
subtree and of the decisions inside it, and holds their sum. A leaf with more distinct features than a table can hold
is integrated row by row.

Not here: how a booster becomes arrays (``shap_trees.py``), rows shared among threads (``shap_values.py``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import kernel

NO_PARENT = -1
#: Bits of a table's index at most; tables double with each.
TABLE_BITS = 10
#: Rows of a block: their contributions to 158 features fill half of a 2 MiB cache.
BLOCK_ROWS = 1024
#: Rows integrated together where there is no table.
_LANES = 64

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float = NDArray[np.float64]


class Forest(NamedTuple):
    """Trees, nodes and leaves numbered over all of them.

    Parameters
    ----------
    left, right
        int32, shape ``(nodes,)``: a node, or the complement of a leaf.
    feature, threshold
        int32 and float32, shape ``(nodes,)``: left where ``x <= threshold``.
    nan_left, zero_left
        bool, shape ``(nodes,)``: where a missing value and where zero goes.
    parent, leaf_parent
        int32, shape ``(nodes,)`` and ``(leaves,)``; ``NO_PARENT`` at a root.
    node_share, leaf_share
        float64: share of the parent's training rows that came here; 1 at a root.
    value
        float64, shape ``(leaves,)``.
    first_node, first_leaf
        int64, shape ``(trees + 1,)``: where each tree's begin.
    """

    left: Int32
    right: Int32
    feature: Int32
    threshold: NDArray[np.float32]
    nan_left: NDArray[np.bool_]
    zero_left: NDArray[np.bool_]
    parent: Int32
    leaf_parent: Int32
    node_share: Float
    leaf_share: Float
    value: Float
    first_node: Int
    first_leaf: Int


class Plan(NamedTuple):
    """Groups of leaves that share a table, in the order of their trees; a deep leaf is a group without one.

    Parameters
    ----------
    root
        int32, shape ``(groups,)``: the group's subtree, a node or the complement of a leaf.
    bits
        int64, shape ``(groups,)``: of the index; a group without a table has more than ``TABLE_BITS``.
    first_condition, first_feature, first_entry
        int64, shape ``(groups + 1,)``: where each group's begin, in the arrays below and in the tables.
    bit, node, goes_left
        int32, int32 and bool, shape ``(conditions,)``: a bit is set where all its conditions hold; sorted by bit.
    feature
        int32, shape ``(features,)``: whose contributions a group holds; of a deep leaf feature i is bit i.
    first_group
        int64, shape ``(trees + 1,)``.
    """

    root: Int32
    bits: Int
    first_condition: Int
    first_feature: Int
    first_entry: Int
    bit: Int32
    node: Int32
    goes_left: NDArray[np.bool_]
    feature: Int32
    first_group: Int


@kernel
def _above(forest: Any, code: int, features: Any, count: int) -> Any:
    """Append the distinct features above ``code`` to ``features``; return (their number now, length of the path)."""
    at = forest.parent[code] if code >= 0 else forest.leaf_parent[~code]
    length = 0
    while at != NO_PARENT:
        count = _with(features, count, forest.feature[at])
        length += 1
        at = forest.parent[at]
    return count, length


@kernel
def _with(features: Any, count: int, feature: int) -> int:
    for seen in range(count):
        if features[seen] == feature:
            return count
    features[count] = feature
    return count + 1


@kernel
def _position(features: Any, count: int, feature: int) -> int:
    for seen in range(count):
        if features[seen] == feature:
            return seen
    return -1


@kernel
def _inside(forest: Any, code: int, nodes: Any, leaves: Any, limit: int) -> int:
    """List nodes (preorder) and leaves of the subtree ``code``; return the number of nodes, ``limit`` when too many."""
    stack = np.empty(limit + 2, np.int32)
    stack[0], depth, count, found = code, 1, 0, 0
    while depth > 0:
        depth -= 1
        at = stack[depth]
        if at < 0:
            leaves[found] = ~at
            found += 1
            continue
        if count + 1 >= limit:
            return limit
        nodes[count] = at
        count += 1
        stack[depth] = forest.right[at]
        stack[depth + 1] = forest.left[at]
        depth += 2
    return count


@kernel
def expected_score(forest: Any) -> float:
    """Return the mean score over the training rows as the trees count them: what SHAP values start from."""
    total = 0.0
    for leaf in range(len(forest.value)):
        share, at = forest.leaf_share[leaf], forest.leaf_parent[leaf]
        while at != NO_PARENT:
            share, at = share * forest.node_share[at], forest.parent[at]
        total += share * forest.value[leaf]
    return total


@kernel
def choose_groups(forest: Any, widest: int, most_bits: int, root: Any, sizes: Any, first_group: Any) -> int:
    """Divide every tree into the largest subtrees whose index has at most ``most_bits`` bits; return their number.

    Leaves whose path alone has more are groups of their own; at 0 bits every leaf is. ``sizes[g]`` becomes (bits,
    conditions, features) of group ``g``; ``widest`` is the number of features.
    """
    groups = 0
    features = np.empty(widest, np.int32)
    nodes, leaves = np.empty(TABLE_BITS + 2, np.int32), np.empty(TABLE_BITS + 2, np.int32)
    stack = np.empty(len(forest.value) + 1, np.int32)
    for tree in range(len(forest.first_leaf) - 1):
        first_group[tree] = groups
        if forest.first_node[tree + 1] == forest.first_node[tree]:
            continue
        stack[0], depth = forest.first_node[tree], 1
        while depth > 0:
            depth -= 1
            code = stack[depth]
            above, length = _above(forest, code, features, 0)
            inner = 0 if code < 0 else _inside(forest, code, nodes, leaves, most_bits + 1)
            if code >= 0 and above + inner > most_bits:
                stack[depth] = forest.right[code]
                stack[depth + 1] = forest.left[code]
                depth += 2
                continue
            count = above
            for k in range(inner):
                count = _with(features, count, forest.feature[nodes[k]])
            root[groups] = code
            sizes[groups, 0], sizes[groups, 1], sizes[groups, 2] = above + inner, length + inner, count
            groups += 1
    first_group[len(forest.first_leaf) - 1] = groups
    return groups


@kernel
def fill_conditions(forest: Any, plan: Any) -> None:
    """Write conditions and features of every group."""
    nodes, leaves = np.empty(TABLE_BITS + 2, np.int32), np.empty(TABLE_BITS + 2, np.int32)
    for group in range(len(plan.root)):
        code = plan.root[group]
        features = plan.feature[plan.first_feature[group] : plan.first_feature[group + 1]]
        above, _ = _above(forest, code, features, 0)
        to = plan.first_condition[group]
        for bit in range(above):
            below, at = code, forest.parent[code] if code >= 0 else forest.leaf_parent[~code]
            while at != NO_PARENT:
                if forest.feature[at] == features[bit]:
                    plan.bit[to], plan.node[to], plan.goes_left[to] = bit, at, forest.left[at] == below
                    to += 1
                below, at = at, forest.parent[at]
        count = above
        if code >= 0:
            for k in range(_inside(forest, code, nodes, leaves, TABLE_BITS + 1)):
                count = _with(features, count, forest.feature[nodes[k]])
                plan.bit[to], plan.node[to], plan.goes_left[to] = above + k, nodes[k], True
                to += 1


@kernel
def fill_tables(forest: Any, plan: Any, first: int, stop: int, points: Any, weights: Any, tables: Any) -> None:
    """Write the tables of groups ``[first, stop)`` to ``tables``, which begins with that of ``first``.

    ``points[n]`` and ``weights[n]`` are those of Gauss's quadrature of ``n`` points on [0, 1]. Of a group without a
    table the entries are the z of its features.
    """
    nodes, leaves = np.empty(TABLE_BITS + 2, np.int32), np.empty(TABLE_BITS + 2, np.int32)
    pattern = np.empty(1 << TABLE_BITS, np.int32)
    alone = np.empty((TABLE_BITS, 1 << TABLE_BITS))
    share, care, want = np.empty(TABLE_BITS), np.empty(TABLE_BITS, np.int32), np.empty(TABLE_BITS, np.int32)
    own = np.empty(TABLE_BITS, np.int32)
    for group in range(first, stop):
        code, bits = plan.root[group], plan.bits[group]
        features = plan.feature[plan.first_feature[group] : plan.first_feature[group + 1]]
        begin = plan.first_entry[first]
        table = tables[plan.first_entry[group] - begin : plan.first_entry[group + 1] - begin]
        if bits > TABLE_BITS:
            _path_shares(forest, ~code, features, table)
            continue
        table[:] = 0.0
        if code >= 0:
            inner = _inside(forest, code, nodes, leaves, TABLE_BITS + 1)
        else:
            inner, leaves[0] = 0, ~code
        above = bits - inner
        for k in range(inner + 1):
            depth = _path(forest, leaves[k], code, features, above, nodes, inner, own, share, care, want)
            number = (depth + 1) // 2
            _leaf_table(forest.value[leaves[k]], depth, share, points[number], weights[number], alone)
            for index in range(1 << bits):
                pattern[index] = 0
                for i in range(depth):
                    if index & care[i] == want[i]:
                        pattern[index] |= 1 << i
            for i in range(depth):
                column = table[_position(features, len(features), own[i]) << bits :]
                for index in range(1 << bits):
                    column[index] += alone[i, pattern[index]]


@kernel
def _path_shares(forest: Any, leaf: int, features: Any, shares: Any) -> None:
    """Write z of each of ``features`` on the path to ``leaf``."""
    shares[:] = 1.0
    part, at = forest.leaf_share[leaf], forest.leaf_parent[leaf]
    while at != NO_PARENT:
        shares[_position(features, len(features), forest.feature[at])] *= part
        part, at = forest.node_share[at], forest.parent[at]


@kernel
def _path(
    forest: Any, leaf: int, code: int, features: Any, above: int, nodes: Any, inner: int,
    own: Any, share: Any, care: Any, want: Any,
) -> int:  # fmt: skip
    """Write the distinct features on the path to ``leaf``, their z and the bits that say o; return their number."""
    depth = 0
    below, at, part, inside = ~leaf, forest.leaf_parent[leaf], forest.leaf_share[leaf], code >= 0
    while at != NO_PARENT:
        feature = forest.feature[at]
        i = _position(own, depth, feature)
        if i < 0:
            i = depth
            own[i], share[i], care[i], want[i] = feature, 1.0, 0, 0
            depth += 1
        share[i] *= part
        if inside:
            bit = 1 << (above + _position(nodes, inner, at))
            care[i] |= bit
            if forest.left[at] == below:
                want[i] |= bit
            inside = at != code
        else:
            bit = 1 << _position(features, above, feature)
            care[i] |= bit
            want[i] |= bit
        part, below, at = forest.node_share[at], at, forest.parent[at]
    return depth


@kernel
def _leaf_table(value: float, depth: int, share: Any, points: Any, weights: Any, out: Any) -> None:
    """Write phi of feature i for every pattern of o to ``out[i]``."""
    half = 1 << (depth - 1)
    product, total = np.empty(half), np.empty(half)
    for i in range(depth):
        total[:] = 0.0
        for q in range((depth + 1) // 2):
            product[0] = weights[q]
            filled = 1
            for j in range(depth):
                if j != i:
                    off = (1.0 - points[q]) * share[j]
                    on = off + points[q]
                    for k in range(filled):
                        product[filled + k] = product[k] * on
                        product[k] *= off
                    filled *= 2
            for k in range(half):
                total[k] += product[k]
        low = (1 << i) - 1
        for k in range(half):
            index = (k & low) | ((k & ~low) << 1)
            out[i, index] = -share[i] * value * total[k]
            out[i, index | (1 << i)] = (1.0 - share[i]) * value * total[k]


@kernel
def decide(forest: Any, first: int, stop: int, features: Any, rows: int, left: Any) -> None:
    """Write which of ``rows`` go left at nodes ``[first, stop)``; ``features`` and ``left`` have rows side by side."""
    for node in range(first, stop):
        values, out = features[forest.feature[node]], left[node - first]
        threshold = forest.threshold[node]
        if forest.zero_left[node] != (threshold >= np.float32(0.0)):
            nan_left, zero_left = forest.nan_left[node], forest.zero_left[node]
            for r in range(rows):
                if np.isnan(values[r]):
                    out[r] = nan_left
                elif values[r] == np.float32(0.0):
                    out[r] = zero_left
                else:
                    out[r] = values[r] <= threshold
        elif forest.nan_left[node]:
            for r in range(rows):
                out[r] = not values[r] > threshold
        else:
            for r in range(rows):
                out[r] = values[r] <= threshold


@kernel
def _index(plan: Any, group: int, left: Any, base: int, rows: int, holds: Any, index: Any) -> None:
    """Write the index of each row into the group's table."""
    index[:rows] = 0
    first, stop = plan.first_condition[group], plan.first_condition[group + 1]
    for c in range(first, stop):
        went, want, bit = left[plan.node[c] - base], np.uint8(plan.goes_left[c]), plan.bit[c]
        if c == first or plan.bit[c - 1] != bit:
            for r in range(rows):
                holds[r] = went[r] == want
        else:
            for r in range(rows):
                holds[r] &= went[r] == want
        if c + 1 == stop or plan.bit[c + 1] != bit:
            for r in range(rows):
                index[r] |= np.uint16(holds[r]) << np.uint16(bit)


@kernel
def add_block(
    forest: Any, plan: Any, first_tree: int, stop_tree: int, tables: Any, points: Any, weights: Any,
    rows_in: Any, features: Any, left: Any, phi: Any, out: Any,
) -> None:  # fmt: skip
    """Add the contributions of trees ``[first_tree, stop_tree)`` to ``out``.

    Parameters
    ----------
    tables
        Of those trees' groups.
    rows_in
        float32, shape ``(rows, width)``, at most ``BLOCK_ROWS`` rows.
    features, left, phi
        Work space: float32 ``(width, BLOCK_ROWS)``, uint8 ``(nodes of the largest tree, BLOCK_ROWS)`` and float64
        ``(width, BLOCK_ROWS)``.
    out
        float64, shape ``(rows, width)`` or wider.
    """
    rows, width = rows_in.shape
    tiny = np.float32(1e-35)
    for r in range(rows):
        for f in range(width):
            value = rows_in[r, f]
            features[f, r] = np.float32(0.0) if abs(value) <= tiny else value
    phi[:, :rows] = 0.0
    holds, index = np.empty(BLOCK_ROWS, np.uint8), np.empty(BLOCK_ROWS, np.uint16)
    start = plan.first_entry[plan.first_group[first_tree]]
    for tree in range(first_tree, stop_tree):
        base = forest.first_node[tree]
        decide(forest, base, forest.first_node[tree + 1], features, rows, left)
        for group in range(plan.first_group[tree], plan.first_group[tree + 1]):
            bits, entry = plan.bits[group], plan.first_entry[group] - start
            if bits > TABLE_BITS:
                _add_deep(forest, plan, group, tables[entry:], points, weights, left, base, rows, phi)
                continue
            _index(plan, group, left, base, rows, holds, index)
            for k in range(plan.first_feature[group], plan.first_feature[group + 1]):
                column, to = tables[entry:], phi[plan.feature[k]]
                for r in range(rows):
                    to[r] += column[index[r]]
                entry += 1 << bits
    for r in range(rows):
        for f in range(width):
            out[r, f] += phi[f, r]


@kernel
def _add_deep(
    forest: Any, plan: Any, group: int, share: Any, points: Any, weights: Any,
    left: Any, base: int, rows: int, phi: Any,
) -> None:  # fmt: skip
    """Add one leaf's contributions, integrated for each row."""
    depth = plan.bits[group]
    first, stop = plan.first_condition[group], plan.first_condition[group + 1]
    value = forest.value[~plan.root[group]]
    satisfied = np.empty((depth, _LANES))
    before, total = np.empty((depth + 1, _LANES)), np.empty((depth, _LANES))
    after, factor = np.empty(_LANES), np.empty((depth, _LANES))
    number = (depth + 1) // 2
    for begin in range(0, rows, _LANES):
        lanes = min(_LANES, rows - begin)
        satisfied[:] = 1.0
        for c in range(first, stop):
            went, want, to = left[plan.node[c] - base], np.uint8(plan.goes_left[c]), satisfied[plan.bit[c]]
            for r in range(lanes):
                if went[begin + r] != want:
                    to[r] = 0.0
        total[:] = 0.0
        for q in range(number):
            t, weight = points[number, q], weights[number, q]
            before[0] = weight
            for i in range(depth):
                for r in range(_LANES):
                    factor[i, r] = t * satisfied[i, r] + (1.0 - t) * share[i]
                    before[i + 1, r] = before[i, r] * factor[i, r]
            after[:] = 1.0
            for i in range(depth - 1, -1, -1):
                for r in range(_LANES):
                    total[i, r] += before[i, r] * after[r]
                    after[r] *= factor[i, r]
        for i in range(depth):
            to = phi[plan.feature[plan.first_feature[group] + i]]
            for r in range(lanes):
                to[begin + r] += value * (satisfied[i, r] - share[i]) * total[i, r]


@kernel
def path_shares(forest: Any, plan: Any, shares: Any) -> None:
    """Write the z of each group's features, where every group is a leaf."""
    for group in range(len(plan.root)):
        own = slice(plan.first_feature[group], plan.first_feature[group + 1])
        _path_shares(forest, ~plan.root[group], plan.feature[own], shares[own])


@kernel
def add_interactions(
    forest: Any, plan: Any, shares: Any, points: Any, weights: Any, place: Any,
    rows_in: Any, features: Any, left: Any, out: Any,
) -> None:  # fmt: skip
    """Add SHAP interaction values of chosen features to ``out``, every group of ``plan`` being a leaf.

    Of one leaf, for i != j: Phi_ij = v / 2 (o_i - z_i) (o_j - z_j) times the integral of the product over the others,
    and Phi_ii = phi_i less the Phi_ij of every j: Shapley's interaction index (Fujimoto et al. 2006), of which
    ``shap`` gives each of the two halves.

    Parameters
    ----------
    place
        int32, shape ``(width,)``: where a feature stands in ``out``; -1 for those not chosen.
    features, left
        Work space as in ``add_block``.
    out
        float64, shape ``(rows, chosen, chosen)``.
    """
    rows, width = rows_in.shape
    tiny = np.float32(1e-35)
    for r in range(rows):
        for f in range(width):
            value = rows_in[r, f]
            features[f, r] = np.float32(0.0) if abs(value) <= tiny else value
    for tree in range(len(forest.first_leaf) - 1):
        base = forest.first_node[tree]
        decide(forest, base, forest.first_node[tree + 1], features, rows, left)
        for group in range(plan.first_group[tree], plan.first_group[tree + 1]):
            own = slice(plan.first_feature[group], plan.first_feature[group + 1])
            at = place[plan.feature[own]]
            if (at >= 0).any():
                _add_pairs(forest, plan, group, shares[own], at, points, weights, left, base, rows, out)


@kernel
def _add_pairs(
    forest: Any, plan: Any, group: int, share: Any, at: Any, points: Any, weights: Any,
    left: Any, base: int, rows: int, out: Any,
) -> None:  # fmt: skip
    depth = len(share)
    first, stop = plan.first_condition[group], plan.first_condition[group + 1]
    value, number = forest.value[~plan.root[group]], (depth + 1) // 2
    gap, factor = np.empty((depth, rows)), np.empty((number, depth, rows))
    gap[:] = 1.0
    for c in range(first, stop):
        went, want, bit = left[plan.node[c] - base], np.uint8(plan.goes_left[c]), plan.bit[c]
        for r in range(rows):
            if went[r] != want:
                gap[bit, r] = 0.0
    for q in range(number):
        t = points[number, q]
        for i in range(depth):
            for r in range(rows):
                factor[q, i, r] = t * gap[i, r] + (1.0 - t) * share[i]
    for i in range(depth):
        for r in range(rows):
            gap[i, r] -= share[i]
    total, product = np.empty(rows), np.empty(rows)
    for i in range(depth):
        if at[i] >= 0:
            for j in range(depth):
                _integral_without(i, j, factor, weights[number], product, total)
                _add_pair(value, i, j, at, gap, total, out)


@kernel
def _integral_without(i: int, j: int, factor: Any, weights: Any, product: Any, total: Any) -> None:
    """Write the integral of the product over all factors but ``i`` and ``j``, for each row."""
    number, depth, rows = factor.shape
    total[:] = 0.0
    for q in range(number):
        product[:] = weights[q]
        for k in range(depth):
            if k not in (i, j):
                for r in range(rows):
                    product[r] *= factor[q, k, r]
        for r in range(rows):
            total[r] += product[r]


@kernel
def _add_pair(value: float, i: int, j: int, at: Any, gap: Any, total: Any, out: Any) -> None:
    for r in range(len(total)):
        if j == i:  # phi_i itself
            out[r, at[i], at[i]] += value * gap[i, r] * total[r]
        else:
            both = 0.5 * value * gap[i, r] * gap[j, r] * total[r]
            out[r, at[i], at[i]] -= both
            if at[j] >= 0:
                out[r, at[i], at[j]] += both
