"""Reading configs: YAML file, then `--params_override`, every key and type checked on the way."""

import dataclasses
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union

import yaml
from official.modeling.hyperparams import base_config

from sact_tf import paths
from sact_tf.errors import UserError
from sact_tf.training.config.field_types import Mismatch, checked, is_text

OVERRIDE_FLAG = "--params_override"


class ConfigError(UserError):
    """A setting that is wrong by itself or beside another one."""

    def __init__(self, key: str, message: str, source: str | None = None):
        super().__init__(f"{source}: {key}: {message}" if source else f"{key}: {message}")
        self.key = key
        self.message = message


class RootConfig(base_config.Config):
    """A config that a file holds as a whole: its fields are sections, or settings of their own."""

    def resolve(self) -> None:
        """Fills in the values that depend on other keys, in place.

        Raises:
            ConfigError: a combination is impossible; names the key, what is allowed and what came.
        """


RootConfigT = TypeVar("RootConfigT", bound=RootConfig)
ConfigT = TypeVar("ConfigT", bound=base_config.Config)
SettingT = TypeVar("SettingT")


class _Loader(yaml.SafeLoader):
    """YAML's safe subset, with a key given twice an error, and numbers as people write them:
    `1e-4` is one; `010`, `1:30` and `2024-01-01` (to YAML 1.1 the number 8, the number 90 and a
    date) are texts, which a key that takes a number refuses."""


_NUMBERS = {
    "int": r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$",
    "float": r"""(?x)[-+]?(?:
        [0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
        |[0-9][0-9_]*[eE][-+]?[0-9]+
        |\.(?:inf|Inf|INF))$
        |\.(?:nan|NaN|NAN)$""",
}
_REPLACED = {f"tag:yaml.org,2002:{name}" for name in (*_NUMBERS, "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if resolver[0] not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Quotes a text that `_Loader`, or anybody's YAML, would take for something else.

    A text stays on one line, however long: so a path is found in the file as it is.
    """

    def write_plain(self, text: str, split: bool = True) -> None:
        """Writes a text without quotes; `split` is PyYAML's wish to break the line."""
        super().write_plain(text, split=False)

    def write_single_quoted(self, text: str, split: bool = True) -> None:
        """Writes a text in single quotes."""
        super().write_single_quoted(text, split=False)

    def write_double_quoted(self, text: str, split: bool = True) -> None:
        """Writes a text in double quotes."""
        super().write_double_quoted(text, split=False)


for _name, _pattern in _NUMBERS.items():
    for _user in (_Loader, _Dumper):
        _user.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(_pattern), list("-+.0123456789")
        )


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, str):
            raise UserError(f"line {key_node.start_mark.line + 1}: key {key!r} is not a text")
        if key in keys:
            raise UserError(f"line {key_node.start_mark.line + 1}: key {key!r} is given twice")
        keys.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def load_config(
    config_class: type[RootConfigT],
    path: str | os.PathLike | None,
    overrides: Sequence[str] = (),
) -> RootConfigT:
    """Reads, overrides, resolves and checks a config.

    Args:
        config_class: dataclass of the whole config; its defaults stand where nothing is said.
        path: YAML file, or None for the defaults.
        overrides: texts of the form `a.b=value,c=value`; later ones win. See `parse_overrides`.

    Returns:
        A locked config.

    Raises:
        UserError: names the file (or the flag), the key, what is allowed and what came.
    """
    config = config_class()
    sources = []
    if path is not None:
        _apply(config, _read_yaml(path), str(path))
        sources.append(str(path))
    return override_config(config, overrides, sources)


def override_config(
    config: RootConfigT, overrides: Sequence[str], sources: Sequence[str] = ()
) -> RootConfigT:
    """Overrides, resolves, checks and locks a config that stands in memory, in place.

    Args:
        config: not locked.
        overrides: as in `load_config`.
        sources: where the config comes from, for messages.

    Returns:
        The config.

    Raises:
        UserError: as `load_config`.
    """
    for override in overrides:
        for key, value in parse_overrides(override, type(config)):
            _apply(config, _in_sections(key, value), OVERRIDE_FLAG)
    if any(overrides):
        sources = [*sources, f"{OVERRIDE_FLAG}={','.join(overrides)}"]
    try:
        config.resolve()
    except ConfigError as error:
        source = " with ".join(sources) or "default config"
        raise ConfigError(error.key, error.message, source) from None
    config.lock()
    return config


def unlocked_copy(config: ConfigT) -> ConfigT:
    """A copy that can be changed."""
    copy = type(config)()
    _apply(copy, config.as_dict(), "config")
    return copy


def given(setting: SettingT | None) -> SettingT:
    """A setting that may be null, where `resolve` has seen to it that it is not."""
    if setting is None:
        raise ValueError("Expected a resolved config")
    return setting


def given_keys(setting: base_config.Config | None) -> dict[str, Any]:
    """The keys and values of a setting that are not null: what a constructor is called with."""
    return {key: value for key, value in given(setting).as_dict().items() if value is not None}


def parse_overrides(text: str, config_class: type[base_config.Config]) -> list[tuple[str, Any]]:
    """Splits `a.b=1,c=[2, 3],d='x,y',e=photos #2` into keys and values.

    A value is YAML, unless its key takes texts alone: then it is a text as it stands, so that a
    path may hold anything; `null` (and nothing at all) is null, and quotes go around a text with a
    comma or blanks at its ends.

    Args:
        text: the overrides, with commas between them.
        config_class: what they override.

    Raises:
        UserError: a part has no `=`, or its value is no YAML.
    """
    result = []
    for part in _split_outside_brackets(text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{OVERRIDE_FLAG}: expected key=value, received {part!r}")
        if is_text(_annotation(config_class, key.strip())):
            result.append((key.strip(), _text_value(value.strip())))
            continue
        try:
            result.append((key.strip(), _parse_yaml(value)))
        except yaml.YAMLError:
            raise UserError(
                f"{OVERRIDE_FLAG}: {key.strip()}: the value {value!r} is no valid YAML"
            ) from None
        except UserError as error:
            raise UserError(f"{OVERRIDE_FLAG}: {key.strip()}: {error}") from None
    return result


def dump_config(config: base_config.Config) -> str:
    """The whole config as YAML that `load_config` reads back to the same config."""
    return yaml.dump(config.as_dict(), Dumper=_Dumper, sort_keys=False, default_flow_style=None)


def flat_items(config: base_config.Config | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns `{"train.batch_size": 64, ...}`: one entry per key that holds no section."""
    values = config.as_dict() if isinstance(config, base_config.Config) else config
    flat = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flat_items(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _parse_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except UserError:
        raise
    # YAML's own constructors fail so on dates and numbers that are none, and on endless nesting.
    except (ValueError, AttributeError, RecursionError) as error:
        raise yaml.YAMLError(str(error)) from error


def _read_yaml(path: str | os.PathLike) -> dict[str, Any]:
    found = paths.find_input(path)
    try:
        content = _parse_yaml(found.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise UserError(f"{path}: no valid YAML{where}: {problem}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise UserError(f"{path}: expected a YAML file of text") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected sections such as 'model:', received {content!r:.60}")
    return content


def _apply(config: base_config.Config, values: Mapping[str, Any], source: str, prefix: str = ""):
    annotations = typing.get_type_hints(type(config), include_extras=True)
    names = [field.name for field in dataclasses.fields(config)]
    for name, value in values.items():
        key = prefix + name
        if name not in names:
            raise ConfigError(key, f"unknown key; allowed here: {', '.join(sorted(names))}", source)
        section = _section_class(annotations[name])
        if section is None:
            try:
                setattr(config, name, checked(value, annotations[name]))
            except Mismatch as mismatch:
                raise ConfigError(key, str(mismatch), source) from None
        elif isinstance(value, Mapping):
            if getattr(config, name) is None:
                setattr(config, name, section())
            _apply(getattr(config, name), value, source, key + ".")
        elif value is None and section is not annotations[name]:
            setattr(config, name, None)
        else:
            allowed = ", ".join(field.name for field in dataclasses.fields(section))
            raise ConfigError(key, f"expected a section with {allowed}, received {value!r}", source)


def _section_class(annotation: Any) -> type[base_config.Config] | None:
    candidates = [annotation]
    if typing.get_origin(annotation) in (Union, types.UnionType):
        candidates = list(typing.get_args(annotation))
    elif typing.get_origin(annotation) is Annotated:
        return None
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, base_config.Config):
            return candidate
    return None


def _annotation(config_class: type[base_config.Config], key: str) -> Any:
    """The type of `a.b`; None where there is no such key."""
    annotation: Any = config_class
    for name in key.split("."):
        section = _section_class(annotation)
        if section is None or name not in {field.name for field in dataclasses.fields(section)}:
            return None
        annotation = typing.get_type_hints(section, include_extras=True)[name]
    return annotation


def _text_value(value: str) -> str | None:
    if value in ("", "null"):
        return None
    quote = value[0]
    if quote not in "'\"" or len(value) < 2 or value[-1] != quote:
        return value
    try:
        text = _parse_yaml(value)
    except yaml.YAMLError:
        return value[1:-1]
    return text if isinstance(text, str) else value


def _in_sections(key: str, value: Any) -> dict[str, Any]:
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


def _split_outside_brackets(text: str) -> list[str]:
    parts, current, depth, quote = [], "", 0, ""
    for character in text:
        # Elsewhere, as in John's photos [1], they are characters like others.
        before = current.rstrip()[-1:]
        begins = before and before in "[{,:" if depth else before == "=" and current.count("=") == 1
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and begins:
            quote = character
        elif character in "[{" and (begins or depth):
            depth += 1
        elif character in "]}" and depth:
            depth -= 1
        if character == "," and depth == 0 and not quote:
            parts.append(current)
            current = ""
        else:
            current += character
    parts.append(current)
    return [part for part in parts if part.strip()]
