"""Named tuples whose class is known to one side only."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

_OWN = frozenset(("_asdict", "_fields", "_name"))


class Named(tuple):  # type: ignore[type-arg]  # noqa: SLOT001 - names are kept in the instance
    """A tuple whose items have names too. Making a class of each, as `namedtuple` does, would execute text.

    Args:
        name: of the class it is an instance of elsewhere.

    Raises:
        ValueError: a field's name is none, occurs twice or means something else, or there is not one for each item.
    """

    _fields: Tuple[str, ...]
    _name: str

    def __new__(cls, name: str, fields: Sequence[str], items: Sequence[Any]) -> Named:  # noqa: D102, PYI034 - as the class says; no subclasses
        if len(set(fields)) != len(items) or len(fields) != len(items):
            raise ValueError("%d names for %d items" % (len(fields), len(items)))
        self = super().__new__(cls, items)
        for field, item in zip(fields, items):
            if not is_field(field):
                raise ValueError("field name %.40r" % (field,))
            if callable(item) and hasattr(tuple, field):  # tests that call `count` mean the tuple's
                raise ValueError("field %r would hide a method" % field)
        self.__dict__.update(zip(fields, items), _fields=tuple(fields), _name=name)
        return self

    def _asdict(self) -> Dict[str, Any]:
        """As of any named tuple."""
        return dict(zip(self._fields, self))

    def __getnewargs__(self) -> Any:
        return self._name, self._fields, tuple(self)

    def __repr__(self) -> str:
        pairs = ", ".join("%s=%r" % pair for pair in zip(self._fields, self))
        return "%s(%s)" % (self._name, pairs)


def is_field(name: Any) -> bool:
    """Whether an item may be called so."""
    return type(name) is str and name.isidentifier() and not name.startswith("__") and name not in _OWN


def names_of(value: Tuple[Any, ...]) -> Optional[Tuple[str, List[str]]]:
    """The names of the class and of the items of a named tuple; None for any other tuple."""
    fields = getattr(value, "_fields", None)
    if type(fields) is not tuple or len(fields) != tuple.__len__(value) or not all(map(is_field, fields)):
        return None
    name = value._name if isinstance(value, Named) else type(value).__name__
    return name, list(fields)
