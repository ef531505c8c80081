"""What is to be made again: the run behind an id, a model version or an order, with all that was recorded of it.

Not here: making it again, and comparing.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ljwx_pipeline.config import Settings, registered_model
from ljwx_pipeline.errors import ConfigError, LakeError, RegistryError
from ljwx_pipeline.registry import ModelVersion, Registry, TrackedView
from ljwx_pipeline.reproduction.record import CONFIG, ENVIRONMENT, MADE, SETTINGS

JOURNAL = "journal.sqlite"
#: Digits that the beginning of a run's id has at least.
FEWEST_DIGITS = 4
FORMS = (
    "name an MLflow run id or its beginning (`ljwx experiments list`), MODEL/VERSION, VERSION (`ljwx models list`), "
    "champion, or an order id (`ljwx reproduce --orders`)"
)


@dataclass(frozen=True)
class RecordedOrder:
    """One order as the runner's journal holds it.

    Parameters
    ----------
    journal
        The journal's file.
    order_id, session, symbol, side, shares, rank, reference_price_e4
        As decided at the close of ``session``; the price in 1e-4 CNY.
    denial
        Reason code of the risk gate, empty for an order that was sent.
    bundle_hash, model_version
        The model that scored.
    created_at
        When it was written down.
    """

    journal: Path
    order_id: str
    session: date
    symbol: str
    side: str
    shares: int
    rank: int
    reference_price_e4: int
    denial: str
    bundle_hash: str
    model_version: str
    created_at: datetime


@dataclass(frozen=True)
class Original:
    """A finished research run, what it recorded, and the model version and order asked for.

    Parameters
    ----------
    run
        The research run in MLflow.
    version
        The version it registered or would have registered again; None where the registry holds none.
    market
        Name of the market.
    home
        The market's home.
    settings
        The resolved settings, as JSON values.
    environment, made
        ``record.ENVIRONMENT`` and ``record.MADE``; the second is empty when the run did not reach its end.
    order
        The order asked for, if one was.
    """

    run: TrackedView
    version: ModelVersion | None
    market: str
    home: Path
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    made: Mapping[str, Any]
    order: RecordedOrder | None = None

    @property
    def as_of(self) -> str:
        """The instant whose knowledge the run computed on, ISO."""
        return str(self.settings["source"]["as_of"] or self.run.tags["known_at"])

    @property
    def name(self) -> str:
        """What was asked for, for a person."""
        version = "" if self.version is None else f" ({self.version.name} version {self.version.version})"
        order = "" if self.order is None else f"order {self.order.order_id} of "
        return f"{order}run {self.run.run_id}{version}"


def find_original(text: str, settings: Settings, registry: Registry, *, home: Path) -> Original:
    """Return the run that ``text`` leads to.

    Parameters
    ----------
    text
        An MLflow run id or its beginning, ``MODEL/VERSION`` (or ``MODEL/champion``), ``VERSION``, ``champion``, or an
        order's id. Digits alone are a version where there is one.
    settings
        Say which market a bare version or ``champion`` is of, and where MLflow is.
    home
        ``LJWX_HOME``.

    Raises
    ------
    ConfigError
        For a text of no known form, a version that there is not, a beginning of several runs, or a run that is no
        research run.
    LakeError
        When no journal, or more than one, holds the order.
    RegistryError
        When MLflow cannot be reached, or the run recorded too little to be made again.
    """
    own_model = registered_model(settings)
    if "|" in text:
        order = _order(text, home / "markets")
        model = registered_model(settings, _market_of(order.journal, home / "markets"))
        version = registry.version_of(model, order.bundle_hash)
        if version is None:
            raise RegistryError(
                f"order {text} was scored by bundle {order.bundle_hash[:12]}, which {model} has no version of",
                "look for the registry that the runner was handed its bundle from, and set mlflow.tracking_uri",
            )
        return _of_version(version, registry, home=home, order=order)
    model, _, number = text.rpartition("/")
    begins_a_run = not model and re.fullmatch(rf"[0-9a-f]{{{FEWEST_DIGITS},32}}", text) is not None
    if number == "champion" or re.fullmatch(r"\d{1,9}", number):
        known = {item.version for item in registry.versions(model or own_model)}
        if number in known or not begins_a_run or not registry.views_beginning(text):
            version = _version(model or own_model, number, registry)
            return _of_version(version, registry, home=home)
    if begins_a_run:
        run_id = _run_id(text, registry)
        run = registry.recorded_run(run_id)
        if run is None:
            raise ConfigError(f"MLflow's experiment {registry.experiment} holds no run {run_id}", FORMS)
        return _original(run, None, registry, home=home)
    raise ConfigError(f"{text!r} names nothing that could be made again", FORMS)


def _run_id(digits: str, registry: Registry) -> str:
    """Return the id of the only run that begins with ``digits``; ``digits`` where none does."""
    found = registry.views_beginning(digits)
    if len(found) > 1:
        raise ConfigError(f"several runs begin with {digits}", "write more of its digits")
    return found[0].run_id if found else digits


def _version(model: str, number: str, registry: Registry) -> ModelVersion:
    known = {item.version: item for item in registry.versions(model)}
    wanted = registry.aliases(model).get("champion") if number == "champion" else number
    if wanted is None or wanted not in known:
        raise ConfigError(
            f"{model} has no {'champion' if number == 'champion' else f'version {number}'}",
            f"choose one of its versions: {', '.join(known) or 'none was ever registered, run `ljwx run` first'}",
        )
    return known[wanted]


def _of_version(
    version: ModelVersion, registry: Registry, *, home: Path, order: RecordedOrder | None = None
) -> Original:
    """Return the run that registered ``version``, or another of the same bundle where that one was deleted or lost."""
    refusal: RegistryError | None = None
    for run in registry.researches_of(version):
        try:
            return _original(run, version, registry, home=home, order=order)
        except RegistryError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    named = f"run {version.run_id}, which registered version {version.version} of {version.name},"
    if registry.knows(version.run_id):
        raise RegistryError(
            f"{named} was deleted in MLflow",
            f"run: mlflow runs restore --run-id {version.run_id}, or train again with `ljwx run`",
        )
    raise RegistryError(f"{named} is no longer in MLflow", "train again with `ljwx run`: that registers it anew")


def _original(
    run: TrackedView,
    version: ModelVersion | None,
    registry: Registry,
    *,
    home: Path,
    order: RecordedOrder | None = None,
) -> Original:
    run_id = run.run_id
    if run.tags.get("kind") != "research":
        above = run.tags.get("mlflow.parentRunId")
        raise ConfigError(
            f"run {run_id} is a {run.tags.get('kind', 'run of another kind')}, no research run",
            f"name the research run it belongs to: {above}" if above else "name a research run",
        )
    documents = {name: registry.artifact_text(run_id, f"{CONFIG}/{name}") for name in (SETTINGS, ENVIRONMENT, MADE)}
    if documents[SETTINGS] is None or documents[ENVIRONMENT] is None or "known_at" not in run.tags:
        raise RegistryError(
            f"run {run_id} recorded no {CONFIG}/{SETTINGS}, {ENVIRONMENT} or known_at: an earlier release made it, or "
            "it was stopped as it began",
            "train again with `ljwx run`: from then on the run can be made again",
        )
    loaded = {name: json.loads(text) if text is not None else {} for name, text in documents.items()}
    market = str(loaded[ENVIRONMENT]["market"])
    made = loaded[MADE]
    if version is None and made:
        model = f"{loaded[SETTINGS]['mlflow']['model_name']}-{market}"
        version = registry.version_of(model, made["bundle_hash"])
    return Original(
        run=run,
        version=version,
        market=market,
        home=home / "markets" / market,
        settings=loaded[SETTINGS],
        environment=loaded[ENVIRONMENT],
        made=made,
        order=order,
    )


def _market_of(journal: Path, markets: Path) -> str:
    return journal.relative_to(markets).parts[0]


def journals(home: Path) -> list[Path]:
    """Return the journals of the market whose home is ``home``: of its account, and of those kept aside."""
    return sorted([*home.glob(f"live/account/{JOURNAL}"), *home.glob(f"live/archive/*/{JOURNAL}")])


def _order(order_id: str, markets: Path) -> RecordedOrder:
    """Return the order from whichever market's journal holds it, those of accounts kept aside too."""
    searched = [path for home in sorted(markets.glob("*")) for path in journals(home)]
    found = [order for path in searched if (order := order_in(path, order_id)) is not None]
    if not found:
        where = f"none of the {len(searched)} journals below {markets} holds it" if searched else "no runner has traded"
        raise LakeError(
            f"there is no order {order_id}: {where}",
            "copy an id that `ljwx reproduce --orders` or the console shows" if searched else "start it: `ljwx up`",
        )
    bundles = {order.bundle_hash for order in found}
    if len(bundles) > 1:
        raise LakeError(
            f"order {order_id} stands in {len(found)} journals, of {len(bundles)} different bundles: "
            f"{', '.join(str(order.journal) for order in found)}",
            "move the journals that are not meant away",
        )
    return found[-1]


def order_in(journal: Path, order_id: str) -> RecordedOrder | None:
    """Return the order as ``journal`` holds it; None when it does not."""
    query = "SELECT o.*, b.model_version FROM orders o JOIN bundles b USING (bundle_hash) WHERE o.client_order_id = ?"
    try:
        with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            row = connection.execute(query, (order_id,)).fetchone()
    except sqlite3.Error as error:
        raise LakeError(f"the journal {journal} cannot be read ({error})", "restore it, or move it away") from None
    if row is None:
        return None
    return RecordedOrder(
        journal=journal,
        order_id=order_id,
        session=date.fromisoformat(row["session"]),
        symbol=row["symbol"],
        side=row["side"],
        shares=int(row["shares"]),
        rank=int(row["rank"]),
        reference_price_e4=int(row["reference_price_e4"]),
        denial=row["reason"] if row["state"] == "denied" else "",
        bundle_hash=row["bundle_hash"],
        model_version=row["model_version"],
        created_at=datetime.fromisoformat(row["created_at"]),
    )
