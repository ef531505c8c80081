"""Every way a Chinese security code is written, turned into ``CODE.EXCHANGE``.

Code ranges: SSE and SZSE code allocation rules; 920xxx and 43/8x belong to the Beijing exchange.
"""

from __future__ import annotations

import re
import unicodedata

_EXCHANGES = {
    **dict.fromkeys(("SH", "SS", "SSE", "SHSE", "XSHG"), "SH"),
    **dict.fromkeys(("SZ", "SZSE", "XSHE"), "SZ"),
    **dict.fromkeys(("BJ", "BSE", "BJSE"), "BJ"),
    "CSI": "CSI",
}
_NAMES = "|".join(sorted(_EXCHANGES, key=len, reverse=True))
_SUFFIXED = re.compile(rf"^([0-9]{{6}})[._-]?({_NAMES})$")
_PREFIXED = re.compile(rf"^({_NAMES})[._-]?([0-9]{{6}})$")
_BARE = re.compile(r"^([0-9]{1,6})(\.0)?$")
_IN_FILE_NAME = re.compile(
    rf"(?<![0-9A-Za-z])((?:{_NAMES})?[._-]?[0-9]{{6}}(?:\.(?:{_NAMES})(?![A-Za-z]))?)(?![0-9])", re.I
)
#: How a spreadsheet keeps a code from turning into a number.
_QUOTED = re.compile(r'^="(.*)"$')
#: Ranges that hold stocks, by exchange; 399xxx on SZ and 000xxx on SH are indices.
_STOCK_RANGES = {"SH": ("60", "68", "900"), "SZ": ("00", "20", "30"), "BJ": ("43", "83", "87", "88", "920")}


def stock_symbol(text: str) -> str | None:
    """Return ``text`` as a stock's symbol, or None when it is not one (an index, a fund, anything else)."""
    code, exchange = _split(text)
    if code is None:
        return None
    for candidate, ranges in _STOCK_RANGES.items():
        if code.startswith(ranges) and exchange in (None, candidate):
            return f"{code}.{candidate}"
    return None


def index_code(text: str) -> str | None:
    """Return ``text`` as an index code, or None; a bare 399xxx is Shenzhen's, any other bare code Shanghai's."""
    code, exchange = _split(text)
    if code is None:
        return None
    return f"{code}.{exchange or ('SZ' if code.startswith('399') else 'SH')}"


def code_in_file_name(stem: str) -> str | None:
    """Return the first thing in a file's name that looks like a code, or None."""
    match = _IN_FILE_NAME.search(stem)
    return match.group(1) if match else None


def _split(text: str) -> tuple[str | None, str | None]:
    # full-width digits and letters become plain ones
    plain = _QUOTED.sub(r"\1", unicodedata.normalize("NFKC", text).strip()).lstrip("'").strip().upper()
    if match := _SUFFIXED.match(plain):
        return match.group(1), _EXCHANGES[match.group(2)]
    if match := _PREFIXED.match(plain):
        return match.group(2), _EXCHANGES[match.group(1)]
    if match := _BARE.match(plain):
        return match.group(1).zfill(6), None  # leading zeros are lost wherever a code was once read as a number
    return None, None
