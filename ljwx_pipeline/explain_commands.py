"""The body of ``ljwx explain``: why a stock is ranked where it is, from the stored features and a registered model.

Not here: the explanation (``models/explain_row.py``), the rest of the command line (``cli.py``).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import day_of, grid, show_result
from ljwx_pipeline.config import Settings, ljwx_home, market_home, registered_model
from ljwx_pipeline.errors import BundleError, ConfigError, EnvironmentFault, LakeError, ModelError, RegistryError

if TYPE_CHECKING:  # heavy: loaded when the command runs, not when the parser is built
    import pyarrow.dataset as ds

    from ljwx_pipeline.dataset.stored_groups import StoredGroups
    from ljwx_pipeline.factors.catalogue import Catalogue
    from ljwx_pipeline.models.explain_row import Place
    from ljwx_pipeline.registry import ModelVersion, Registry
    from ljwx_pipeline.scoring.bundle import ModelBundle
    from ljwx_pipeline.scoring.model import Model

#: Reasons printed unless ``--top`` says otherwise; the JSON and the picture have as many.
SHOWN_REASONS = 10
CHAMPION = "champion"


def add_explain_command(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add ``explain`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile and reads it; a profile is a market, and a market has its own models.
    """
    text = "why a stock is ranked where it is: what each factor adds to its score beyond the session's mean stock"
    parser = subparsers.add_parser("explain", help=text, description=text)
    add_settings_options(parser)
    parser.add_argument("--symbol", metavar="S", help="the stock, such as 600519.SH (default: the one ranked first)")
    parser.add_argument("--session", metavar="D", help="the session (default: the newest that is known)")
    parser.add_argument(
        "--model", metavar="VERSION|champion", default=CHAMPION, help="a version in the registry (default: champion)"
    )
    parser.add_argument("--top", type=int, default=SHOWN_REASONS, metavar="N", help="reasons shown (default: 10)")
    parser.add_argument(
        "--lime", action="store_true", help="a second opinion by LIME, which needs `make lime`; takes seconds"
    )
    parser.add_argument("--picture", metavar="DIR", help="write the reasons as a PNG picture into this folder")
    parser.add_argument("--json", action="store_true", help="print the machine-readable form")
    parser.set_defaults(handler=lambda arguments: _explain(settings_of(arguments), arguments))


def _explain(settings: Settings, arguments: argparse.Namespace) -> int:
    # lightgbm, pandas, MLflow: only when something is explained
    from ljwx_pipeline.factors.catalogues import open_catalogue
    from ljwx_pipeline.models.explain_row import explain_place

    if arguments.top < 1:
        raise ConfigError(f"--top {arguments.top} shows no reason", "write 1 or more")
    asked = None if arguments.session is None else day_of(arguments.session, "--session")
    if arguments.picture == "":
        raise ConfigError("--picture '' names no folder", "write a folder, such as --picture .")
    if arguments.lime:
        _require_lime()
    catalogue = open_catalogue(settings.factors.catalogue)
    version, bundle = _bundle(settings, catalogue, arguments.model)
    home = market_home(settings)
    held = _groups_held(home, version, bundle)
    table, sessions = _feature_table(home, catalogue)
    session = _session(sessions, held, asked)
    symbols, features = _session_rows(table, catalogue, session)
    groups = next((one.codes(session, symbols) for one in held if session in one.sessions()), None)
    symbol = arguments.symbol
    if symbol is not None and symbol not in symbols:
        near = get_close_matches(symbol, symbols, n=5, cutoff=0.5)
        raise ModelError(
            f"{symbol} has no row on {session}" + (f"; there are {', '.join(near)}" if near else ""),
            f"choose one of its {len(symbols)} stocks, or another session",
        )
    threads = settings.model.threads
    place = explain_place(bundle.model, features, symbols, catalogue, symbol=symbol, groups=groups, threads=threads)
    body = {
        "model": {"name": version.name, "version": version.version, "bundle_hash": bundle.bundle_hash},
        "session": str(session),
        "trained_through": str(bundle.manifest.last_session),
        "seen_in_training": bundle.manifest.first_session <= session <= bundle.manifest.last_session,
        **asdict(place),
    }
    if groups is not None:
        body["group"] = _group(bundle.model, int(groups[symbols.index(place.symbol)]), held)
    body["reasons"] = body["reasons"][: arguments.top]
    body["left_out_beyond_session"] = sum(one.beyond_session for one in place.reasons[arguments.top :])
    if arguments.lime:
        from ljwx_pipeline.models.explain_lime import second_opinion

        at = symbols.index(place.symbol)
        said = second_opinion(
            bundle.model,
            features,
            at,
            catalogue.names,
            top=arguments.top,
            seed=settings.model.seed,
            groups=groups,
            threads=threads,
        )
        body["lime"] = asdict(said)
    if arguments.picture:
        from ljwx_pipeline.models.explain_figures import draw_place

        try:
            (picture,) = draw_place(place, str(session), Path(arguments.picture), top=arguments.top)
        except OSError as error:
            raise EnvironmentFault(
                f"no picture can be written into {arguments.picture} ({error.strerror or error})",
                "name a folder that you may write into, or free some space",
            ) from None
        body["picture"] = str(picture.absolute())
    return show_result(arguments, body, _text(body, place, arguments.top))


def _require_lime() -> None:
    from ljwx_pipeline.models.explain_lime import require_lime

    require_lime()


def _bundle(settings: Settings, catalogue: Catalogue, asked: str) -> tuple[ModelVersion, ModelBundle]:
    from ljwx_pipeline.registry import open_registry
    from ljwx_pipeline.scoring.bundle import load_bundle
    from ljwx_pipeline.scoring.signing import public_key

    registry = open_registry(settings.mlflow, home=ljwx_home())
    name = registered_model(settings)
    version, key = _version(registry, name, asked), public_key(ljwx_home() / "keys")
    meant = {"factor_hash": catalogue.version_hash, "public_key": key, "bundle_hash": version.bundle_hash}
    try:  # the copy kept here may be damaged, or another version's
        return version, load_bundle(market_home(settings) / "champions" / version.bundle_hash, **meant)
    except BundleError:
        with tempfile.TemporaryDirectory(prefix="ljwx-explain-") as folder:
            return version, load_bundle(registry.download_bundle(version, Path(folder)), **meant)


def _version(registry: Registry, name: str, asked: str) -> ModelVersion:
    if asked == CHAMPION:
        found = registry.champion(name)
        if found is None:
            raise RegistryError(f"{name} has no champion", "run `ljwx run`, or name a version: --model 1")
        return found
    if not asked.isascii() or not asked.isdigit():
        raise ConfigError(f"--model {asked!r} is no version", f"write a number, such as 3, or {CHAMPION}")
    try:
        return registry.version(name, asked)
    except RegistryError:
        if registry.tracking_uri.startswith("sqlite:///"):
            there = ", ".join(version.version for version in registry.versions(name))
            raise RegistryError(
                f"{name} has no version {asked}",
                f"choose among {there} (`ljwx models list`), or {CHAMPION}" if there else "register one: `ljwx run`",
            ) from None
        raise


def _groups_held(home: Path, version: ModelVersion, bundle: ModelBundle) -> tuple[StoredGroups, ...]:
    """Return what the line's tables hold of the groups the model scores by; empty for a model without groups."""
    from ljwx_pipeline.dataset.stored_groups import stored_groups

    by, measure = bundle.manifest.group_by, bundle.manifest.group_measure
    if by == "none":
        return ()
    held = stored_groups(home / "tables")
    found = tuple(one for one in held if one.measure == measure)
    if not found:
        others = " and ".join(dict.fromkeys(one.measure for one in held))
        made_by = measure or "what its bundle does not say"
        raise LakeError(
            f"version {version.version} scores by {by}, its groups made by {made_by}; "
            + (f"those stored are made by {others}" if others else "none are stored"),
            f'run `ljwx run` with model.group_by = "{by}", or name another version (--model)',
        )
    return found


def _feature_table(home: Path, catalogue: Catalogue) -> tuple[ds.Dataset, list[date]]:
    """Return the feature table, which is of this version of the catalogue, and its sessions, ascending."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    from ljwx_pipeline.feature_table import CATALOGUE_HASH

    path = home / "feature_table" / f"{catalogue.name}.parquet"
    again = "compute the features: `ljwx run`, or its part `--job daily_pipeline`"
    try:
        found = (pq.read_schema(path).metadata or {}).get(CATALOGUE_HASH, b"").decode()
    except FileNotFoundError:
        raise LakeError(f"{path} was never made", again) from None
    except (OSError, pa.ArrowInvalid) as error:
        raise LakeError(f"{path} is damaged ({str(error).splitlines()[0]})", again) from None
    if found != catalogue.version_hash:
        raise LakeError(
            f"the features stored are of version {found[:12] or 'unknown'}, the catalogue {catalogue.name} is now "
            f"{catalogue.version_hash[:12]}",
            again,
        )
    table = ds.dataset(path)
    days = pc.unique(table.to_table(columns=["session_date"]).column("session_date")).to_pandas().sort_values()
    return table, [day.date() for day in days]


def _session(sessions: list[date], held: tuple[StoredGroups, ...], asked: date | None) -> date:
    """Return the session asked for, or the newest; of a model of groups, one of which groups are held."""
    grouped = set[date]().union(*(one.sessions() for one in held))
    known = [day for day in sessions if day in grouped] if held else sessions
    session = asked or (known or sessions)[-1]
    if session not in sessions:
        before, after = [day for day in sessions if day < session], [day for day in sessions if day > session]
        nearest = [str(day) for day in (*before[-1:], *after[:1])]
        raise LakeError(
            f"the feature table has no row on {session}",
            f"choose a session between {sessions[0]} and {sessions[-1]}, the nearest: {' or '.join(nearest)}",
        )
    if session not in known:
        spans = [list(span) for is_known, span in groupby(sessions, grouped.__contains__) if is_known]
        told = ", ".join(f"{span[0]} to {span[-1]}" for span in spans)
        raise LakeError(
            f"the groups by {held[0].measure} of {session} are not stored",
            f"choose a session of those that have them: {told}" if told else "make them again: `ljwx run`",
        )
    return session


def _session_rows(table: ds.Dataset, catalogue: Catalogue, session: date) -> tuple[tuple[str, ...], Any]:
    """Return the session's symbols and their factors, float32 of shape (symbols, factors), from the feature table."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    at = pc.field("session_date") == pa.scalar(session).cast(table.schema.field("session_date").type)
    rows = table.to_table(columns=["symbol", *catalogue.names], filter=at).sort_by("symbol")
    features = np.stack([rows.column(name).to_numpy() for name in catalogue.names], axis=1).astype(np.float32)
    return tuple(rows.column("symbol").to_pylist()), features


def _group(model: Model, code: int, held: tuple[StoredGroups, ...]) -> dict[str, Any]:
    """Return what is said of a stock's group; its code and name are None where they are unknown."""
    from ljwx_pipeline.scoring.model import NO_GROUP

    return {
        "by": model.group_by,
        "measure": held[0].measure,
        "code": None if code == NO_GROUP else code,
        "name": next((one.names[code] for one in held if code in one.names), None),
        "has_members": any(member.group == code for member in model.members if member.output == "score"),
    }


def _text(body: dict[str, Any], place: Place, top: int) -> str:
    model = body["model"]
    seen = "a session it was trained on" if body["seen_in_training"] else "a session it was not trained on"
    lines = [
        f"{place.symbol} on {body['session']}: ranked {place.rank} of {place.ranked}",
        f"score {place.score:+.5f}, the session's mean {place.session_score:+.5f}: "
        f"{place.score - place.session_score:+.5f} beyond it",
        f"{model['name']} version {model['version']}, {seen}",
        *([_group_line(body["group"], place)] if "group" in body else []),
        "",
        grid(
            ["factor", "beyond mean", "value", "percentile", "meaning", "source"],
            [
                [
                    one.factor,
                    f"{one.beyond_session:+.5f}",
                    "missing" if one.value is None else f"{one.value:.4g}",
                    "-" if one.percentile is None else f"{100 * one.percentile:.0f}",
                    one.meaning,
                    one.source,
                ]
                for one in place.reasons[:top]
            ],
        ),
    ]
    left = len(place.reasons) - top
    if left > 0:
        lines.append(f"{left} other factors together: {body['left_out_beyond_session']:+.5f}")
    if "lime" in body:
        lines += ["", *_lime_lines(body["lime"])]
    if "picture" in body:
        lines += ["", body["picture"]]
    return "\n".join(lines)


def _group_line(group: dict[str, Any], place: Place) -> str:
    starts = f"start {place.base_beyond_session:+.5f} beyond the session's mean start"
    if group["code"] is None:
        return f"its group by {group['measure']} is unknown: the members for every stock score it, which {starts}"
    named = group["name"] or f"code {group['code']} by {group['measure']}"
    if not group["has_members"]:
        return f"group {named} has no members of its own: the members for every stock score it, which {starts}"
    return f"group {named}: its members {starts}"


def _lime_lines(said: dict[str, Any]) -> list[str]:
    agreed = f"{said['shared_top']} of its first {len(said['weights'])} factors lead SHAP's list too"
    return [
        f"LIME, a line fitted to {said['samples']} stocks like it (R2 {said['r2']:.2f}): {agreed}",
        grid(["condition", "weight"], [[one["condition"], f"{one['weight']:+.5f}"] for one in said["weights"]]),
    ]
