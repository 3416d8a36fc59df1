"""Records by the hundred: a draft starts as a copy of a pattern, is filled in, and becomes a frozen record.

The constructor of a frozen dataclass goes through `object.__setattr__` for each field, which takes ten times as long as
plain assignment. A draft is an object of a class with the same slots that is not frozen; a finished draft takes on
the record's own class. It is then a record like any other, equal to one made by the constructor.
"""

from collections.abc import Callable
from dataclasses import fields, make_dataclass
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")


@cache
def _twin(record: type[Any]) -> tuple[type[Any], Callable[[Any], tuple[Any, ...]]]:
    """Return a class with the record's slots whose objects can be changed, and what it is made from, by position."""
    names = [each.name for each in fields(record)]
    twin = make_dataclass(record.__name__, [(name, Any) for name in names], slots=True, eq=False, repr=False)
    return twin, attrgetter(*names)


class Drafts(Generic[R]):
    """Drafts of a frozen dataclass with slots. `pattern` holds what they have in common."""

    __slots__ = ("_record", "_twin", "_values")

    def __init__(self, pattern: R) -> None:
        self._record = type(pattern)
        self._twin, values_of = _twin(self._record)
        self._values = values_of(pattern)

    def draft(self) -> Any:
        """Return an object whose fields have the pattern's values and can be assigned; others raise AttributeError."""
        return self._twin(*self._values)

    def finish(self, draft: Any) -> R:
        """Make a draft a record, and return it."""
        draft.__class__ = self._record
        return cast("R", draft)
