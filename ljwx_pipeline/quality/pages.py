"""What the suite's pages share: their style, and how they are written.

Not here: what they show (``trend.py``, ``suite_page.py``).
"""

from __future__ import annotations

from pathlib import Path

from ljwx_pipeline.lake.atomic_parquet import write_bytes

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #e3e8ee}
td.n,th.n{text-align:right}td{overflow-wrap:break-word}.d{white-space:nowrap}svg{width:100%;height:auto}
.no{color:#c2513f}.soft{color:#66727f}code{font-size:.9em}
"""


def write_page(path: Path, *, title: str, body: str) -> Path:
    """Write an HTML page that needs nothing but itself, in one step, and return its path.

    ``title`` is a heading without markup, ``body`` HTML whose values are escaped already.

    Raises
    ------
    LakeError
        When the disk is full or the folder cannot be written; an earlier page is then unchanged.
    """
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"</head><body>\n<h1>{title}</h1>\n{body}\n</body></html>\n"
    )
    write_bytes(path, text.encode())
    return path
