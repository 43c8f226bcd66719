"""Arrays and scalars of numpy as plain tokens of the codec, no larger in memory than a small multiple of their text."""

from __future__ import annotations

import base64
import re
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

_MAX_TEXT_BYTES = 1 << 26
_NUMBERS = "biufcmM"
_DTYPE = re.compile(r"[<>|=][biufcmMSU][0-9]{1,9}(\[[0-9]{0,9}[A-Za-z]{1,2}\])?")


def encode_array(value: Any, encode: Callable[[Any], Any]) -> Optional[Dict[str, Any]]:
    """The tagged token; None for what is no array or scalar of plain values.

    Args:
        encode: makes tokens of the items.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic)):
        return None
    dtype = value.dtype
    shape = list(value.shape) if isinstance(value, numpy.ndarray) else None
    if dtype.kind in _NUMBERS:
        return {"nb": [dtype.str, shape, base64.b64encode(value.tobytes()).decode("ascii")]}
    if dtype.kind in "US":
        items = value.item() if shape is None else value.reshape(-1).tolist()
        return {"np": [dtype.str, shape, encode(items)]}
    if dtype.kind == "O" and shape is not None:
        return {"no": [shape, encode(value.reshape(-1).tolist())]}
    if dtype.kind == "V" and dtype.names and not dtype.hasobject:
        return {"nv": [shape, [[name, encode(value[name])] for name in dtype.names]]}
    return None


def decode_numbers(token: Any) -> Any:
    """Of the bytes of its items. Raises ValueError, TypeError."""
    import numpy as np  # only where a program returned an array; the judge may be without numpy otherwise

    name, shape, text = token
    dtype = _dtype(np, name, _NUMBERS)
    raw = bytearray(base64.b64decode(_typed(text, str)))
    if len(raw) != dtype.itemsize * (1 if shape is None else _size(shape)):
        raise ValueError("%d bytes do not fill an array of %s" % (len(raw), name))
    if not raw:
        return np.empty(_shape(shape), dtype)
    # A bool that is neither 0 nor 1 would be true and yet not equal to True.
    items = np.frombuffer(raw, np.uint8) != 0 if dtype.kind == "b" else np.frombuffer(raw, dtype)
    return items[0] if shape is None else items.reshape(_shape(shape))


def decode_texts(token: Any) -> Any:
    """Of a list of its items. Raises ValueError, TypeError."""
    import numpy as np

    name, shape, items = token
    dtype = _dtype(np, name, "US")
    if dtype.itemsize * (1 if shape is None else len(_typed(items, list))) > _MAX_TEXT_BYTES:
        raise ValueError("an array of more than %d bytes" % _MAX_TEXT_BYTES)
    if shape is None:
        return dtype.type(_typed(items, str, bytes))
    return np.array([_typed(item, str, bytes) for item in items], dtype=dtype).reshape(_shape(shape))


def decode_objects(token: Any) -> Any:
    """Of a list of its items. Raises ValueError, TypeError."""
    import numpy as np

    shape, items = token
    array = np.empty(len(_typed(items, list)), dtype=object)
    for index, item in enumerate(items):  # all at once, lists among them would become dimensions
        array[index] = item
    return array.reshape(_shape(shape))


def decode_structure(token: Any) -> Any:
    """Of its fields, which are arrays of one shape each. Raises ValueError, TypeError."""
    import numpy as np

    shape, fields = token
    whole = () if shape is None else _shape(shape)
    if not fields:
        raise ValueError("a structure without fields")
    for name, field in _typed(fields, list):
        if not isinstance(_typed(name, str) and field, (np.ndarray, np.generic)) or field.shape != whole:
            raise ValueError("field %r is no array of the shape %s" % (name, whole))
    array = np.empty(whole, dtype=[(name, field.dtype) for name, field in fields])
    for name, field in fields:
        array[name] = field
    return array[()] if shape is None else array


def _dtype(numpy: Any, name: Any, kinds: str) -> Any:
    if not _DTYPE.fullmatch(_typed(name, str)):
        raise ValueError("array of dtype %.40r" % name)
    dtype = numpy.dtype(name)
    if dtype.kind not in kinds:
        raise ValueError("array of dtype %.40r" % name)
    return dtype


def _size(shape: Any) -> int:
    size = 1
    for length in _shape(shape):
        size *= length
    return size


def _shape(shape: Any) -> Tuple[int, ...]:
    lengths: List[int] = _typed(shape, list)
    if any(type(length) is not int or length < 0 for length in lengths):
        raise ValueError("shape %.40r" % (shape,))
    return tuple(lengths)


def _typed(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise ValueError("a %s where %s belongs" % (type(value).__name__, kinds[0].__name__))
    return value
