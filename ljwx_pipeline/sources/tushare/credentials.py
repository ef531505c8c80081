"""Where the token comes from, and how it is kept out of sight: a ``SecretStr`` that never prints.

Not here: sending it (``client.py``).
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from ljwx_pipeline.errors import SourceError

VARIABLE = "TUSHARE_TOKEN"
REMEDY = (
    f"put it into the environment variable {VARIABLE}, or into a file of your own (chmod 600) named by "
    "tushare.token_file; your token stands at https://tushare.pro/user/token"
)


def read_token(token_file: str, environ: Mapping[str, str]) -> SecretStr:
    """Return the token from ``token_file``, or from the environment where none is configured.

    Raises
    ------
    SourceError
        When there is none, the file cannot be read or others may read it, or its content is no token.
    """
    if token_file:
        where, text = f"the token file {token_file}", _read_file(Path(token_file))
    else:
        where, text = f"the environment variable {VARIABLE}", environ.get(VARIABLE, "")
    token = text.strip()
    if not token:
        raise SourceError(f"no tushare token: {where} is empty or not set", REMEDY)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SourceError(f"{where} holds no token (one word of letters and digits)", REMEDY)
    return SecretStr(token)


def _read_file(path: Path) -> str:
    try:
        if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            raise SourceError(f"others than you may read the token file {path}", f"chmod 600 {path}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SourceError(f"the token file {path} cannot be read ({error.strerror})", REMEDY) from None
    except UnicodeDecodeError:
        raise SourceError(f"the token file {path} is not text", REMEDY) from None
