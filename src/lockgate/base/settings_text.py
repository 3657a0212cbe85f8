"""Settings as the text of a `lockgate.yaml`: every value that counts, one a line, in the order of the model.

The text is read back by `settings_file.parse` to equal settings.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import yaml

    from lockgate.base.settings import Settings

Where = tuple[str, ...]
"""Keys from the top of the file to a setting: `("components", "web", "port")`."""

_WIDE = 1 << 30
"""Columns that no line reaches, so that each value ends on the line of its key."""


def tree(settings: Settings) -> dict[str, Any]:
    """Return settings as plain mappings, with every field."""
    return dataclasses.asdict(settings)


def dump(content: Mapping[str, Any], comments: Mapping[Where, str] | None = None) -> str:
    """Return mappings as YAML: keys in their order, mappings in block style, lists of plain values on one line.

    Args:
        content: mappings of texts, numbers, lists and mappings.
        comments: what to say behind a setting, by its path. A setting whose value is no single line has none.
    """
    import yaml

    text: str = yaml.dump(
        content, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=_WIDE
    )
    if not comments:
        return text
    lines = text.split("\n")[:-1]
    for path, number in _leaves(yaml.compose(text, Loader=yaml.SafeLoader), ()):
        if path in comments:
            lines[number] += f"  # {comments[path]}"
    return "".join(f"{one}\n" for one in lines)


def ungiven(content: Mapping[str, Any], given: Any, above: Where = ()) -> Iterator[Where]:
    """Yield the paths of all settings that a file does not have, so that their values are defaults.

    Args:
        content: every setting, as from `tree`.
        given: what the file says, as it was read.
        above: path of `content`; empty for the top.
    """
    said = given if isinstance(given, dict) else {}
    for key, value in content.items():
        path = (*above, key)
        if isinstance(value, dict) and value:
            yield from ungiven(value, said.get(key), path)
        elif key not in said:
            yield path


def _leaves(node: yaml.Node | None, above: Where) -> Iterator[tuple[Where, int]]:
    """Yield path and line of each setting that is no mapping and stands on one line."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        path = (*above, str(key.value))
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _leaves(value, path)
        elif value.end_mark.line == key.start_mark.line:
            yield path, value.end_mark.line


def _dumper() -> type[yaml.SafeDumper]:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library's form
            # What is there twice is written twice: aliases are not read here.
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
            super().increase_indent(flow, False)

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        # Several lines, or what cannot be seen, as one line with escapes.
        style = None if value.isprintable() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    def several(dumper: yaml.SafeDumper, value: list[Any] | tuple[Any, ...]) -> yaml.Node:
        flow = not any(isinstance(one, dict | list | tuple) and one for one in value)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flow)

    def mapping(dumper: yaml.SafeDumper, value: dict[Any, Any]) -> yaml.Node:
        return dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=not value)

    Dumper.add_representer(str, text)
    Dumper.add_representer(list, several)
    Dumper.add_representer(tuple, several)
    Dumper.add_representer(dict, mapping)
    return Dumper
