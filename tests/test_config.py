"""Settings are frozen, complete, refused by name, and hashed by what can change a result."""

from __future__ import annotations

import shutil
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ljwx_pipeline.config import (
    ExitSettings,
    Settings,
    SizingSettings,
    homes_of_same_data,
    ljwx_home,
    load_settings,
    market_name,
    replayed,
)
from ljwx_pipeline.config.section import Section
from ljwx_pipeline.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.toml"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "ljwx.toml", tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    return tmp_path / "ljwx.toml"


def load(project: Path, **more: Any) -> Settings:
    return load_settings(**{"profile": "simulated", "config_file": project, "environ": {}, **more})


def edited(project: Path, old: str, new: str) -> Path:
    text = project.read_text(encoding="utf-8")
    assert old in text
    project.write_text(text.replace(old, new), encoding="utf-8")
    return project


@pytest.mark.parametrize("profile", PROFILES)
def test_every_shipped_profile_loads(profile: str, project: Path) -> None:
    settings = load(project, profile=profile)
    assert settings.profile == profile
    assert len(settings.config_hash) == 64


def test_the_six_promised_profiles_are_shipped() -> None:
    assert {"simulated", "noise", "folder", "tushare", "akshare", "baostock"} <= set(PROFILES)


def test_a_profile_lies_over_the_base_and_leaves_its_neighbours_alone(project: Path) -> None:
    base, noise = load(project), load(project, profile="noise")
    assert noise.simulated.oracle_rank_ic == 0.0
    assert noise.simulated.symbols == base.simulated.symbols


def test_layers_go_file_profile_environment_override(project: Path) -> None:
    environ = {"LJWX_SIMULATED__ORACLE_RANK_IC": "0.2", "LJWX_SIMULATED__SEED": "11"}
    over = {"simulated.seed": 12}
    assert load(project, profile="noise", environ=environ).simulated.oracle_rank_ic == 0.2
    assert load(project, environ=environ).simulated.seed == 11
    assert load(project, environ=environ, overrides=over).simulated.seed == 12


@pytest.mark.parametrize(
    ("variable", "text", "read"),
    [
        ("LJWX_UI__HOST", "localhost", lambda s: s.ui.host == "localhost"),
        ("LJWX_GATE__KPI_ENABLED", "false", lambda s: s.gate.kpi_enabled is False),
        ("LJWX_FOLDER__INDEX_DATA", '["a.csv", "b.csv"]', lambda s: s.folder.index_data == ("a.csv", "b.csv")),
        ("LJWX_SOURCE__FIRST_SESSION", "2019-01-02", lambda s: str(s.source.first_session) == "2019-01-02"),
    ],
)
def test_environment_values_are_read_as_toml_or_bare_text(variable: str, text: str, read: Any, project: Path) -> None:
    assert read(load(project, environ={variable: text}))


def test_the_profile_and_the_file_can_come_from_the_environment(project: Path) -> None:
    environ = {"LJWX_PROFILE": "noise", "LJWX_CONFIG": str(project)}
    assert load_settings(environ=environ).profile == "noise"
    assert load_settings(environ={"LJWX_CONFIG": str(project)}).profile == "simulated"


def test_single_underscore_variables_are_not_settings(project: Path) -> None:
    assert load(project, environ={"LJWX_HOME": "/tmp/x", "OTHER__KEY": "1"}) == load(project)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"LJWX_COSTS__COMISSION_FRAC": "0.1"},
            "costs.comission_frac, did you mean costs.commission_frac?",
        ),
        ({"LJWX_NOWHERE__KEY": "1"}, "unknown key nowhere"),
        ({"LJWX_COSTS__COMMISSION_FRAC": "0.5"}, "costs.commission_frac = 0.5 is refused"),
        ({"LJWX_STRATEGY__TOP_K": "many"}, "strategy.top_k = 'many' is refused (write a whole number): "),
        ({"LJWX_STRATEGY__KIND": "short_only"}, "strategy.kind = 'short_only' is refused"),
        ({"LJWX_STRATEGY__MAX_WEIGHT_FRAC": "1.01"}, "strategy.max_weight_frac = 1.01 is refused"),
        ({"LJWX_STRATEGY__SIZING__FRACTION": "1.5"}, "strategy.sizing.fraction = 1.5 is refused"),
        ({"LJWX_MODEL__ENSEMBLE__KINDD": "none"}, "model.ensemble.kindd, did you mean model.ensemble.kind?"),
        ({"LJWX_STRATEGY__SIZING__LEVERAGE": "2"}, "unknown key strategy.sizing.leverage"),
        ({"LJWX_STRATEGY__EXITS__STOP_LOSS_FRAC": "-0.1"}, "strategy.exits.stop_loss_frac = -0.1 is refused"),
        (
            {"LJWX_STRATEGY__EXITS__MAX_HOLD_SESSIONS": "2"},
            "strategy.exits.max_hold_sessions = 2 is below strategy.min_hold_sessions = 3",
        ),
        (
            {"LJWX_STRATEGY__KIND": "score_weighted", "LJWX_STRATEGY__MAX_WEIGHT_FRAC": "0.2"},
            "strategy.max_weight_frac = 0.2 puts 19.6% into a name, above risk.max_weight_per_name_frac = 10.0%",
        ),
        ({"LJWX_SOURCE__KIND": "excel"}, "source.kind = 'excel' is refused"),
        ({"LJWX_SCHEDULE__DAILY_AT": '"6 pm"'}, "schedule.daily_at = '6 pm' is refused"),
        ({"LJWX_SOURCE__FIRST_SESSION": "2099-01-01"}, "is not before last_session"),
        ({"LJWX_SOURCE__LAST_SESSION": "tomorrow"}, "write a date such as 2026-12-31, or today"),
        ({"LJWX_SOURCE__LAST_SESSION": "7"}, "source.last_session = 7 is refused"),
        (
            {"LJWX_SOURCE__LAST_SESSION": "today", "LJWX_SOURCE__AS_OF": '"2016-05-04T18:00:00+08:00"'},
            "first_session 2018-01-02 is not before last_session today (2016-05-04)",
        ),
        ({"LJWX_FOLDER__COLUMNS": '{ volum = "v" }'}, "folder.columns.volum"),
        ({"LJWX_COSTS__SLIPPAGE_BPS__X": "1"}, "below slippage_bps, which is a value"),
    ],
)
def test_a_wrong_key_or_value_is_named(environ: dict[str, str], said: str, project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(project, environ=environ)
    assert said in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ({"overrides": {"gate.min_sharp": 1}}, "correct gate.min_sharp on the command line"),
        ({"overrides": {"source.last_session": "2001-01-01"}}, "correct source.last_session on the command line"),
        ({"overrides": {"strategy.top_k": 3}}, "correct strategy.top_k on the command line or {file}"),
        ({"environ": {"LJWX_STRATEGY__TOP_K": "many"}}, "correct the environment variable LJWX_STRATEGY__TOP_K"),
        ({"environ": {"LJWX_NOWHERE__KEY": "1"}}, "correct the environment variable LJWX_NOWHERE__KEY"),
        (
            {"environ": {"LJWX_TUNE__TRIALS": "0"}, "overrides": {"tune.trials": -1}},
            "correct tune.trials on the command line",
        ),
    ],
)
def test_a_refused_value_is_corrected_where_it_came_from(given: dict[str, Any], origin: str, project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(project, **given)
    assert caught.value.remedy == origin.format(file=project)


def test_a_value_of_a_profile_is_corrected_in_the_profile_and_one_of_the_file_in_the_file(project: Path) -> None:
    profile = project.parent / "profiles" / "noise.toml"
    profile.write_text("[simulated]\noracle_rank_ic = 7\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(project, profile="noise")
    assert caught.value.remedy == f"correct {profile}"
    with pytest.raises(ConfigError) as caught:
        load(edited(project, "trials = 12 ", "trials = 0 "))
    assert caught.value.remedy == f"correct {project}"


@pytest.mark.parametrize("value", ["soon", 1889, 2101, True, 2021.5])
def test_the_first_test_year_is_a_year_or_auto(value: object, project: Path) -> None:
    assert load(project).walk_forward.first_test_year == "auto"
    assert load(project, overrides={"walk_forward.first_test_year": 2014}).walk_forward.first_test_year == 2014
    with pytest.raises(ConfigError, match=r"first_test_year = .* is refused \(write auto, or a year from 1990 to 2100"):
        load(project, overrides={"walk_forward.first_test_year": value})


def test_an_unknown_key_in_the_file_and_a_missing_one_are_both_named_at_once(project: Path) -> None:
    edited(project, "n_drop = 3", "n_dorp = 3")
    with pytest.raises(ConfigError) as caught:
        load(project)
    assert "missing key strategy.n_drop" in str(caught.value)
    assert "unknown key strategy.n_dorp" in str(caught.value)
    assert str(project) in str(caught.value)


@pytest.mark.parametrize("section", sorted(Settings.model_fields.keys() - {"profile"}))
def test_no_section_has_a_default_in_code(section: str) -> None:
    model = Settings.model_fields[section].annotation
    assert model is not None
    assert Settings.model_fields[section].is_required()
    assert [name for name, field in model.model_fields.items() if not field.is_required()] == []


@pytest.mark.parametrize("section", [SizingSettings, ExitSettings])
def test_no_section_below_the_strategy_has_a_default_in_code(section: type[Section]) -> None:
    assert [name for name, field in section.model_fields.items() if not field.is_required()] == []


def test_the_strategy_shipped_is_plain_topk_dropout(project: Path) -> None:
    strategy = load(project).strategy
    assert (strategy.kind, strategy.sizing.kind, strategy.tradable) == ("topk_dropout", "none", True)
    assert set(strategy.exits.model_dump().values()) == {0}
    assert not load(project, overrides={"strategy.kind": "long_short"}).strategy.tradable


def test_files_that_are_missing_or_no_toml_are_named(project: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        load(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match=r"profile 'exotic' has no file .*choose one of: .*noise.*simulated"):
        load(project, profile="exotic")
    project.write_text("[source\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(project)
    for text in (b"\xff\xfe", b"x = " + b"9" * 5_000, b"x = " + b"[" * 5_000):  # tomllib's own error names none of them
        project.write_bytes(text)
        with pytest.raises(ConfigError, match="is not valid TOML"):
            load(project)


def test_settings_cannot_be_changed_after_loading(settings: Settings) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings.costs.slippage_bps = 0.0  # type: ignore[misc]


def test_the_hash_follows_what_can_change_a_result_and_ignores_ports_and_workers(project: Path) -> None:
    base = load(project, overrides={"tune.batch": 2}).config_hash
    assert load(project, overrides={"tune.batch": 2}).config_hash == base
    for local in (
        {"ui.runner_port": 9999},
        {"mlflow.tracking_uri": "http://127.0.0.1:9"},
        {"tune.workers": 2},
        {"tune.storage": "sqlite:///studies.db"},
        {"walk_forward.workers": 3},
        {"monitoring.retrain": False, "monitoring.accepted_inputs": ["2024-02-05"]},
    ):
        assert load(project, overrides={"tune.batch": 2, **local}).config_hash == base
    for telling in ({"simulated.seed": 8}, {"costs.slippage_bps": 3.0}, {"folder.adjustment": "forward"}):
        assert load(project, overrides={"tune.batch": 2, **telling}).config_hash != base


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8710"),
        ("runner", "http://runner:8710"),
        ("::1", "http://[::1]:8710"),
        ("0.0.0.0", "http://127.0.0.1:8710"),
        ("::", "http://[::1]:8710"),
    ],
)
def test_a_service_is_asked_where_it_can_be_reached(project: Path, host: str, address: str) -> None:
    assert load(project, overrides={"ui.host": host}).ui.address(8710) == address


def test_the_purge_is_the_labels_reach(project: Path) -> None:
    settings = load(project, overrides={"label.entry_lag_sessions": 2, "label.horizon_sessions": 10})
    assert settings.purge_sessions == 12
    assert load(project).purge_sessions == 6


def test_training_is_purged_by_the_longest_horizon_that_an_ensemble_learns(project: Path) -> None:
    horizons = {"model.ensemble.horizons": [1, 20, 10]}
    blend = load(project, overrides={**horizons, "model.ensemble.kind": "horizon_blend"})
    assert (blend.purge_sessions, blend.training_purge_sessions) == (6, 21)
    assert load(project, overrides=horizons).training_purge_sessions == 6
    short = load(project, overrides={"model.ensemble.kind": "horizon_blend", "model.ensemble.horizons": [1, 2]})
    assert short.training_purge_sessions == 6


def test_an_ensembles_faults_are_named_with_their_key(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.ensemble.horizons = \[5\]: horizon_blend needs at least two"):
        load(project, overrides={"model.ensemble.kind": "horizon_blend", "model.ensemble.horizons": [5]})
    with pytest.raises(ConfigError, match=r"model.ensemble.weights has 1 entries for 3 members"):
        load(project, overrides={"model.ensemble.kind": "horizon_blend", "model.ensemble.weights": [1.0]})


def test_home_is_the_variable_or_a_hidden_folder_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LJWX_HOME", raising=False)
    assert ljwx_home() == tmp_path / ".ljwx"
    monkeypatch.setenv("LJWX_HOME", "state")
    assert ljwx_home() == tmp_path / "state"


@pytest.mark.parametrize(
    ("instant", "until"),
    [
        ("2027-01-04T14:59:00+08:00", date(2027, 1, 3)),
        ("2027-01-04T15:00:00+08:00", date(2027, 1, 4)),
        ("2027-01-04T17:00:00+00:00", date(2027, 1, 4)),
    ],
    ids=["before the close", "at the close", "the next day in Shanghai, before its close"],
)
def test_an_open_last_session_moves_with_the_clock(
    instant: str, until: date, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_end = load(project, overrides={"source.last_session": "today"})
    monkeypatch.setattr("ljwx_pipeline.config.data.utc_now", lambda: datetime.fromisoformat(instant))
    assert open_end.source.until == until
    monkeypatch.undo()
    replay = load(project, overrides={"source.last_session": "today", "source.as_of": instant})
    assert replay.source.until == until
    assert replay.config_hash == open_end.config_hash
    assert market_name(replayed(replay)) == market_name(open_end)


def test_a_folder_is_one_market_by_whatever_path_it_is_reached(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d1" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "d1", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    plain = load(project, overrides={"folder.data": str(tmp_path / "d1")})
    folder = plain.model_copy(update={"source": plain.source.model_copy(update={"kind": "folder"})})

    def named(data: str) -> str:
        return market_name(folder.model_copy(update={"folder": folder.folder.model_copy(update={"data": data})}))

    same = [str(tmp_path / "d1"), "d1", "./d1/", "link", "d1/inner/..", str(tmp_path / "d1" / ".." / "d1")]
    assert len({named(data) for data in same}) == 1
    assert named("d2") != named("d1")
    assert named("d1").startswith("simulated-")


def test_the_same_data_under_another_profile_is_found_beside(project: Path, tmp_path: Path) -> None:
    own = load(project)
    mine, replay = (own.model_copy(update={"profile": profile}) for profile in ("mine", "mine"))
    other = load(project, overrides={"simulated.seed": 99})
    dated = replay.model_copy(update={"source": own.source.model_copy(update={"as_of": "2026-01-05T18:00:00+08:00"})})
    for settings in (own, mine, other, dated):
        (tmp_path / market_name(settings)).mkdir()
    assert [found.name for found in homes_of_same_data(tmp_path / market_name(own))] == [market_name(mine)]
    assert homes_of_same_data(tmp_path / market_name(other)) == ()


def test_ranked_models_by_group_are_refused_since_their_scores_have_no_unit(project: Path) -> None:
    with pytest.raises(ConfigError, match=r'kind = "rank" have no unit, so those of one industry do not compare'):
        load(project, overrides={"model.kind": "rank", "model.group_by": "industry"})
    assert load(project, overrides={"model.kind": "quantile", "model.group_by": "industry"}).model.kind == "quantile"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.kind", "forest"),
        ("model.label_transform", "none"),
        ("model.group_by", "board"),
        ("model.ridge_penalty", 0.0),
        ("model.liquidity_weight", -0.5),
        ("model.recency_half_life_sessions", 0.05),
    ],
)
def test_a_model_that_cannot_be_fitted_is_refused_by_its_key(project: Path, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        load(project, overrides={key: value})


def test_a_limit_on_intervals_that_are_switched_off_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"max_width_frac = 0\.3 .* nothing would be bought"):
        load(project, overrides={"uncertainty.enabled": False, "uncertainty.max_width_frac": 0.3})


def test_intervals_as_shipped_are_made_and_abstain_from_nothing(project: Path) -> None:
    shipped = load(project).uncertainty
    assert shipped.enabled
    assert not shipped.abstains


def test_strategies_of_the_runner_are_sections_by_name_that_change_no_result(project: Path) -> None:
    alone = load(project)
    assert alone.live.strategies == {}
    text = project.read_text(encoding="utf-8")
    section = 'model = ""\nuniverse = ""\ncapital_share_frac = 0.5\nschedule = "close"\npaused = false\n'
    project.write_text(text.replace("[risk]", f"[live.strategies.core]\n{section}\n[risk]"), encoding="utf-8")
    several = load(project)
    assert several.live.strategies["core"].capital_share_frac == 0.5
    assert several.config_hash == alone.config_hash
    edited(project, "paused = false", "paussed = false")
    with pytest.raises(ConfigError, match=r"missing key live\.strategies\.core\.paused.*unknown key .*core\.paussed"):
        load(project)
