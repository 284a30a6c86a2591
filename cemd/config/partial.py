"""What can be said of an entry that is not valid: its parts that are, and the checks that need no others.

A fault hides nothing: whoever mends a file learns at once all that is wrong with an entry. What is wrong, and a key
that is missing, are attributes that the part does not have, so a check that would need one of them ends with an
`AttributeError` and says nothing; nobody is told a fault that follows from another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cache, partial
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

T = TypeVar("T")


def keys_of(error: ValidationError) -> frozenset[str]:
    """The keys of a validated mapping that are wrong, missing, or not known."""
    details = error.errors(include_input=False, include_url=False, include_context=False)
    return frozenset(str(detail["loc"][0]) for detail in details if detail["loc"])


def part_of(model: type[BaseModel], tree: dict[str, Any], wrong: Collection[str]) -> BaseModel:
    """An object of the model with what is right of `tree`; what is wrong or missing it does not have at all."""
    values: dict[str, Any] = {}
    for name in model.model_fields:
        if name in tree and name not in wrong:
            try:
                values[name] = _adapter(model, name).validate_json(msgspec.json.encode(tree[name]), strict=True)
            except ValidationError:
                pass  # right only together with others; then it is not known here
    part = model.model_construct(**values)
    for name, field in model.model_fields.items():
        if name not in values and (name in tree or field.is_required()):
            part.__dict__.pop(name, None)
    return part


def unasked(part: BaseModel) -> ValidationError | None:
    """What the model's own checks of the whole find in a part, as far as they need nothing that is missing; pydantic
    asks them only of what is valid, and no second one after the first that complains."""
    found: list[InitErrorDetails] = []
    for check in type(part).__pydantic_decorators__.model_validators.values():
        if check.info.mode != "after":
            continue
        try:
            as_far_as_known(partial(check.func, part))
        except ValueError as exc:
            words = PydanticCustomError("value_error", "{error}", {"error": str(exc)})
            found.append(InitErrorDetails(type=words, loc=(), input=None))
    return ValidationError.from_exception_data(type(part).__name__, found) if found else None


def as_far_as_known(look: Callable[[], T]) -> T | None:
    """What `look` answers; None where it needs what a part does not have."""
    try:
        return look()
    except AttributeError:
        return None


def all_known(faults: Iterator[T]) -> Iterator[T]:
    """What a check says before it needs what a part does not have."""
    try:
        yield from faults
    except AttributeError:
        return


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    annotation: Any = model.model_fields[name].annotation
    return TypeAdapter(annotation)
