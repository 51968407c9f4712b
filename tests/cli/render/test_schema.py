"""What commands print with --json is as its schema says."""

import json

import jsonschema
import pytest

from small_mobilenet import card_path, model_path
from spiq.cli import main
from spiq.cli.render import schema as schemas
from spiq.errors import ConfigError

Capture = pytest.CaptureFixture[str]
MODEL, CARD = str(model_path()), str(card_path())


def strict(schema: object) -> object:
    """The schema, with what it does not name refused: then nothing printed is unsaid."""
    if isinstance(schema, list):
        return [strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    return closed | ({"additionalProperties": False} if "properties" in schema else {})


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("form", "command"),
    [
        ("quantize", ("quantize", MODEL, "-o", "out.onnx", "--no-timing")),
        ("inspect", ("inspect", MODEL)),
        ("pareto", ("pareto", MODEL)),
        ("compare", ("inspect", MODEL, MODEL)),
        ("eval", ("eval", MODEL, MODEL, "--card", CARD, "--limit=20")),
        ("bench", ("bench", MODEL, MODEL, "--seconds=0.05")),
        ("bench-runs", ("bench", MODEL, "--seconds=0.05", "--batch=1,2")),
        ("card-check", ("card", "check", CARD, "--model", MODEL)),
    ],
)
def test_what_is_printed_is_as_its_schema_says(
    form: str,
    command: tuple[str, ...],
    capsys: Capture,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main(["schema", form]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(strict(schema)).validate(printed)
    assert printed["schema"] == schema["title"] == f"spiq/{form}/1"


@pytest.mark.parametrize("form", schemas.FORMS)
def test_every_form_has_a_schema(form: str) -> None:
    schema = schemas.schema(form)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["required"][0] == "schema"
    assert {} not in schema["properties"].values()  # nothing is left open


def test_another_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown form 'evil': choose one of quantize"):
        schemas.schema("evil")
