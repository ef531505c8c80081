"""What tushare's refusals mean: its messages as data, first match first.

The codes alone do not tell: 40203 stands for a minute's, an hour's and a day's quota alike, and the message about too
many calls a minute links to the page about permissions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.wire import TransientFault

RATE_CODE = 40203
MINUTE_S = 61.0


@dataclass(frozen=True)
class Refusal:
    """One kind of refusal.

    Parameters
    ----------
    pattern
        Searched for in the message.
    remedy
        What the reader can do.
    wait_s
        Seconds after which to try again; None means never.
    """

    pattern: str
    remedy: str
    wait_s: float | None


_POINTS = "see https://tushare.pro/document/1?doc_id=108 for the points each interface needs"
_MINUTE = Refusal("每分钟|频繁|频次", "lower tushare.calls_per_minute to what your points allow", MINUTE_S)
REFUSALS = (
    _MINUTE,
    Refusal("每小时", f"go on in an hour (what is fetched is kept), or raise your points: {_POINTS}", None),
    Refusal("每天|每日", f"go on tomorrow (what is fetched is kept), or raise your points: {_POINTS}", None),
    Refusal(
        "(?i)token", "check the token (TUSHARE_TOKEN or tushare.token_file) at https://tushare.pro/user/token", None
    ),
    Refusal("权限|积分", f"your points do not open this interface: {_POINTS}", None),
    Refusal("(?i)ip", "tushare serves a token from few addresses at once: stop the other downloads", None),
    Refusal("系统|繁忙|超时|稍后|内部错误|异常", "tushare has trouble of its own: try again later", 0.0),
)


def refusal(api: str, code: int, message: str) -> SourceError:
    """Return the error for an answer whose code is not 0: a ``TransientFault`` where waiting helps."""
    found = next((kind for kind in REFUSALS if re.search(kind.pattern, message)), None)
    if found is None and code == RATE_CODE:
        found = _MINUTE
    fact = f"tushare refuses {api} (code {code}): {message or 'without a word'}"
    if found is None:
        return SourceError(fact, "report it with this message: the question asked was not understood")
    if found.wait_s is None:
        return SourceError(fact, found.remedy)
    return TransientFault(fact, found.remedy, wait_s=found.wait_s)
