"""What files of bars cannot say is said."""

from __future__ import annotations

from pathlib import Path

from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import FIRST, LAST, folder_settings


def test_what_the_files_cannot_say_is_said_with_its_consequence(data_file: Path, index_file: Path) -> None:
    source = FolderSource(folder_settings(data_file, index_file))
    description = source.describe()
    assert (description.name, description.simulated, description.adjustment) == ("folder", False, "raw")
    said = {item.what: item.consequence for item in description.unknown}
    assert "survivors" in said["delistings and true listing dates"]
    assert "5 % price limit" in said["ST spells"]
    assert "volume in lots and amount in thousand_cny" in said["units (not declared)"]
    for name in ("industries", "index_members", "corporate_actions", "st_spells", "market_values", "news", "macro"):
        assert getattr(source, name)(FIRST, LAST).empty
