"""The OpenAPI document says what the service does."""

from __future__ import annotations

import inspect

import cnnkit
from cnnkit.commands.serve_tasks import classify_task, detect_task
from cnnkit.serving.openapi import openapi_document
from cnnkit.serving.tasks import Answer, ServedModel


def test_the_parameters_are_those_of_the_functions():
    models = [ServedModel(n, {}, {}, lambda images, values: Answer({})) for n in ("one", "two")]
    document = openapi_document([classify_task(models), detect_task(models)])
    for name in ("classify", "detect"):
        operation = document["paths"][f"/v1/{name}"]["post"]
        model, *options = operation["parameters"]
        assert model["schema"]["enum"] == ["one", "two"]
        known = inspect.signature(getattr(cnnkit, name)).parameters
        assert {option["name"].replace("-", "_") for option in options} <= set(known)
        for option in options:
            default = known[option["name"].replace("-", "_")].default
            assert option["schema"].get("default") == (default or None)
            assert option["description"]
        assert set(operation["requestBody"]["content"]) == {"image/*", "multipart/form-data"}
    top_k = document["paths"]["/v1/classify"]["post"]["parameters"][1]
    assert (top_k["name"], top_k["schema"]) == ("top-k", {"type": "integer", "default": 5})
    assert "security" not in document
    assert openapi_document([], with_token=True)["security"] == [{"token": []}]
