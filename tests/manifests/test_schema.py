"""The settings, their schema and this repository's own file agree."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import yaml

from lockgate.base import settings_file

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "lockgate.schema.json"


def test_the_schema_for_editors_is_the_model_s() -> None:
    """`docs/lockgate.schema.json` is what the settings' types say today."""
    written = json.loads(SCHEMA.read_text())
    assert written == json.loads(json.dumps(settings_file.json_schema())), (
        "python -m lockgate.base.settings_file > docs/lockgate.schema.json"
    )


def test_every_setting_has_a_description() -> None:
    """An editor can say of each field what it is for."""
    schema = json.loads(SCHEMA.read_text())
    sections = [schema, *schema["$defs"].values()]
    silent = [
        name
        for section in sections
        for name, field in section.get("properties", {}).items()
        if "description" not in field and "$ref" not in field
    ]
    assert silent == []


def test_our_own_settings_fit_schema_and_model() -> None:
    """`lockgate.yaml` passes an editor's check and the real one."""
    jsonschema.validate(
        yaml.safe_load((ROOT / "lockgate.yaml").read_text()), json.loads(SCHEMA.read_text())
    )
    assert settings_file.parse((ROOT / "lockgate.yaml").read_bytes()).components
