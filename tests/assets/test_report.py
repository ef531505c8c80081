"""What the report is handed: folds under their headings, fees and slippage of the fills."""

from __future__ import annotations

import pandas as pd
import pytest

from assets.report import fees_of, folds_table, shown_coefficients, slippage_of

DAY, NEXT = pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-03")


def test_slippage_is_what_fills_lost_against_the_close_on_either_side() -> None:
    bars = pd.DataFrame({"session_date": [DAY, DAY, NEXT], "symbol": ["A", "B", "A"], "close_cny": [10.0, 20.0, 11.0]})
    orders = pd.DataFrame(
        {
            "session_date": [DAY, DAY, NEXT],
            "symbol": ["A", "B", "A"],
            "fill_shares": [1000, 0, -500],
            "price_e4": [100_200, 0, 109_800],
        }
    )
    # bought 1000 shares 0.02 above, sold 500 shares 0.02 below; the order without a fill costs nothing
    assert slippage_of(orders, bars) == pytest.approx(20.0 + 10.0)


def test_fees_are_cny_by_kind() -> None:
    orders = pd.DataFrame({"commission_fen": [500, 700], "stamp_duty_fen": [0, 900], "transfer_fee_fen": [1, 2]})
    assert fees_of(orders) == {"commission": 12.0, "stamp duty": 9.0, "transfer fee": 0.03}


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
    assert row["Trained on"] == "2022-01-04 to 2023-12-21"
    assert (row["Trees"], row["Rank IC, every scored row"]) == (1, 0.1186)
    assert row["Rank IC, rows that could be bought"] == pytest.approx(0.15)
