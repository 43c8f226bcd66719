"""Routes whose bodies are JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import FailFast, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

FAIL_FAST = FailFast()
"""For lists: what is wrong with the first item is all that is told."""
_MOST_FAULTS = 1000
"""Of a body, each told in turn. To list a million, one an item, takes seconds in which nothing else is answered."""


class JsonRoute(APIRoute):
    """Reads the body straight into its model: strictly, as JSON and not as Python objects, and bounded in depth.

    FastAPI would first make Python objects of it with the standard library, which takes NaN for a number and half of a
    surrogate pair for text, and gives up with an error of its own on deep nesting.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What serves a request."""
        handle = super().get_route_handler()
        form = None if self.body_field is None else self.body_field.field_info.annotation
        if form is None:
            return handle
        model: TypeAdapter[Any] = TypeAdapter(form)

        async def serve(request: Request) -> Response:
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                raise HTTPException(415, "send the body as `Content-Type: application/json`")
            try:
                body = await request.body()
                parsed = model.validate_json(body)
            except ValidationError as error:
                raise RequestValidationError(_faults(error)) from None
            return await handle(_ParsedRequest(request, body, parsed))

        return serve


class _ParsedRequest(Request):
    """One whose body has been read."""

    def __init__(self, request: Request, body: bytes, parsed: object) -> None:
        super().__init__(request.scope, request.receive)
        self._body = body
        self._parsed = parsed

    async def json(self) -> object:
        """The model."""
        return self._parsed


def _faults(error: ValidationError) -> Sequence[Any]:
    """What is wrong with a body, where that can be listed."""
    if (count := error.error_count()) > _MOST_FAULTS:
        return [
            {"type": "too_many", "loc": (), "msg": f"{count} values are not what they should be; compare /openapi.json"}
        ]
    return error.errors(include_url=False, include_input=False)
