"""What the report is handed: folds under their headings, fees of the fills, curves by their names."""

from __future__ import annotations

import pandas as pd
import pytest

from assets.report import account_of, curve_column, curves_of, fees_of, folds_table, shown_coefficients


def test_fees_are_cny_by_kind() -> None:
    orders = pd.DataFrame({"commission_fen": [500, 700], "stamp_duty_fen": [0, 900], "transfer_fee_fen": [1, 2]})
    assert fees_of(orders) == {"commission": 12.0, "stamp_duty": 9.0, "transfer_fee": 0.03}


def test_no_truth_is_shown_where_nothing_is_planted() -> None:
    walk = {"folds": 2, "rank_ic_mean": 0.01, "oracle_rank_ic": -0.002}
    assert shown_coefficients(walk, planted=True) == {"rank_ic_mean": 0.01, "oracle_rank_ic": -0.002}
    assert shown_coefficients(walk, planted=False) == {"rank_ic_mean": 0.01}


def test_a_fold_shows_the_rank_ic_of_both_kinds_of_rows() -> None:
    dates = {"train_first": "2022-01-04", "train_last": "2023-12-21", "test_first": "2024-01-02"}
    record = {
        "name": "2024", **dates, "test_last": "2024-12-31",
        "train_rows": 20_155, "test_rows": 11_153, "rounds": 1, "rank_ic": 0.1186, "tail_rank_ic": 0.1,
    }  # fmt: skip
    by_session = pd.DataFrame({"fold": ["2024", "2024", "2025"], "rank_ic": [0.1, 0.2, 0.9]})
    (row,) = folds_table([record], by_session).to_dict("records")
    assert row["trained_on"] == "2022-01-04 – 2023-12-21"
    assert (row["trees"], row["rank_ic_scored"]) == (1, 0.1186)
    assert row["rank_ic_enterable"] == pytest.approx(0.15)


def test_curves_come_back_by_the_names_their_columns_were_made_of() -> None:
    names = ("000905.SH", "equal_weight", "momentum")
    frame = pd.DataFrame({"equity_cny": [1.0], **{curve_column(name): [2.0] for name in names}})
    assert tuple(curves_of(frame)) == names
    assert curve_column("000905.SH") == "000905.SH_points"


def test_the_account_is_shown_in_shares_of_equity() -> None:
    frame = pd.DataFrame(
        {"equity_cny": [100.0], "cash_cny": [20.0], "largest_position_cny": [5.0], "turnover_frac": [0.1]}
    )
    (row,) = account_of(frame).to_dict("records")
    assert row == {"invested_frac": 0.8, "largest_weight_frac": 0.05, "turnover_frac": 0.1}
