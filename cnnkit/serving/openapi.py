"""The OpenAPI document of the service, made from its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnkit.serving.tasks import MODEL, ServedTask, TaskOption
from cnnkit.version import __version__

ERRORS = {
    "400": "An option or the body is invalid.",
    "413": "The file or the image is too large.",
    "415": "The content is no image that can be read.",
    "422": "The image cannot be read or has no result.",
    "503": "The queue is full, or it took too long; see the header Retry-After.",
}
_ERROR_ROW = {
    "type": "object",
    "required": ["status", "error"],
    "properties": {
        "status": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["kind", "message"],
            "properties": {"kind": {"type": "string"}, "message": {"type": "string"}},
        },
    },
}
_ROW = {
    "type": "object",
    "required": ["status"],
    "description": "The row that the command writes.",
    "properties": {"status": {"const": "ok"}},
}
_BINARY = {"type": "string", "format": "binary"}


def openapi_document(tasks: Sequence[ServedTask], *, with_token: bool = False) -> dict[str, Any]:
    """Return the document.

    Args:
        tasks: What the service offers.
        with_token: Whether it asks for a token.
    """
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "cnnkit", "version": __version__},
        "paths": {task.path: {"post": _operation(task)} for task in tasks},
        "components": {"schemas": {"Row": _ROW, "ErrorRow": _ERROR_ROW}},
    }
    for path, summary in (
        ("/v1/models", "The models, their tasks, and their cards."),
        ("/healthz", "Whether the service runs."),
    ):
        document["paths"][path] = {
            "get": {"summary": summary, "responses": {"200": {"description": "JSON."}}}
        }
    if with_token:
        scheme = {"type": "http", "scheme": "bearer"}
        document["components"]["securitySchemes"] = {"token": scheme}
        document["security"] = [{"token": []}]
    return document


def _operation(task: ServedTask) -> dict[str, Any]:
    return {
        "operationId": task.name,
        "summary": task.summary,
        "parameters": [_model_parameter(task), *map(_parameter, task.options)],
        "requestBody": {"required": True, "content": _bodies(task)},
        "responses": {
            "200": {"description": "The row.", "content": _json("Row")},
            **{
                status: {"description": said, "content": _json("ErrorRow")}
                for status, said in ERRORS.items()
            },
        },
    }


def _bodies(task: ServedTask) -> dict[str, Any]:
    parts = (*task.images, *task.more_images)
    form = {
        "type": "object",
        "required": list(task.images),
        "properties": {name: _BINARY for name in parts},
    }
    bodies: dict[str, Any] = {} if len(task.images) > 1 else {"image/*": {"schema": _BINARY}}
    return bodies | {"multipart/form-data": {"schema": form}}


def _model_parameter(task: ServedTask) -> dict[str, Any]:
    names = [model.name for model in task.models]
    return {
        "name": MODEL,
        "in": "query",
        "description": "The model.",
        "schema": {"type": "string", "enum": names, "default": names[0]},
    }


def _parameter(option: TaskOption) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": option.kind}
    if option.default not in (None, ()):
        schema["default"] = option.default
    return {
        "name": option.flag,
        "in": "query",
        "description": option.description,
        "schema": schema,
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
