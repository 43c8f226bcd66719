"""Dates, times and time zones as plain tokens of the codec."""

from __future__ import annotations

import datetime as dt
import os
import re
from typing import Any, Dict, List, Optional

_KEY = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
_Token = List[Any]


def encode_date(value: dt.date) -> _Token:
    """Year, month, day."""
    return [value.year, value.month, value.day]


def encode_time(value: Any) -> _Token:
    """The fields of a time, or of a datetime after its date."""
    zone = None if value.tzinfo is None else encode_zone(value.tzinfo, value.utcoffset())
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, zone]


def encode_zone(zone: dt.tzinfo, offset: Optional[dt.timedelta]) -> _Token:
    """Its key, where it is one of the time zone database, its name, and its offset from UTC at the time in question."""
    key = getattr(zone, "key", None) if type(zone).__module__ == "zoneinfo" else None
    name = zone.tzname(None) if type(zone) is dt.timezone else None
    return [key, name, None if offset is None else encode_delta(offset)]


def encode_named_zone(value: Any) -> Optional[Dict[str, Any]]:
    """The tagged token of a zone of the database; None for all else."""
    is_one = type(value).__module__ == "zoneinfo" and isinstance(value, dt.tzinfo)
    return {"tz": encode_zone(value, None)} if is_one else None


def encode_delta(value: dt.timedelta) -> _Token:
    """Days, seconds, microseconds."""
    return [value.days, value.seconds, value.microseconds]


def decode_date(token: Any) -> dt.date:
    """Raises ValueError, TypeError, OverflowError."""
    return dt.date(*_ints(token, 3))


def decode_datetime(token: Any) -> dt.datetime:
    """Raises ValueError, TypeError, OverflowError."""
    date, time = token
    return dt.datetime.combine(decode_date(date), decode_time(time))


def decode_time(token: Any) -> dt.time:
    """Raises ValueError, TypeError, OverflowError."""
    *fields, zone = token
    hour, minute, second, microsecond, fold = _ints(fields, 5)
    return dt.time(hour, minute, second, microsecond, None if zone is None else decode_zone(zone), fold=fold)


def decode_zone(token: Any) -> Optional[dt.tzinfo]:
    """The zone of the database; a fixed offset where there is none of its name. Raises as the others."""
    key, name, offset = token
    if type(key) is str and _KEY.fullmatch(key):
        known = _from_database(key)
        if known is not None:
            return known
    if offset is None:
        return None
    delta = decode_delta(offset)
    return dt.timezone(delta, name) if type(name) is str else dt.timezone(delta)


def decode_delta(token: Any) -> dt.timedelta:
    """Raises as the others."""
    return dt.timedelta(*_ints(token, 3))


def _from_database(key: str) -> Optional[dt.tzinfo]:
    """Only from the system's files: looked for further, a name of the program's would be imported."""
    try:
        import zoneinfo
    except ImportError:  # Python 3.8
        return None
    if not any(os.path.isfile(os.path.join(folder, key)) for folder in zoneinfo.TZPATH):
        return None
    try:
        return zoneinfo.ZoneInfo(key)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):  # a file of another kind
        return None


def _ints(token: Any, count: int) -> List[int]:
    if type(token) is not list or len(token) != count or any(type(number) is not int for number in token):
        raise ValueError("%d whole numbers belong here" % count)
    return token
