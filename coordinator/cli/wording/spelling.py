"""How messages are spelt for people and scripts: enum values as CodeDeploy writes them, and messages as plain JSON objects.

The names of the protos decide: the enum's prefix goes, and what is left is written in the style of its enum (STYLES).
"""

import functools
import re
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from google._upb import _message as upb
    from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
    from google.protobuf.message import Message

JsonValue: TypeAlias = "str | int | float | bool | None | list[JsonValue] | dict[str, JsonValue]"

# The style of an enum's values, by example; those not named here are written as "InProgress", "ApplicationStop".
CAMEL, KEEP, LOWER, LOWER_CAMEL = "InProgress", "HOST_COUNT", "tgz", "codeDeployRollback"
STYLES = {
    "AlarmStatus": KEEP,
    "AutoRollbackEvent": KEEP,
    "BundleType": LOWER,
    "Comparison": KEEP,
    "DeploymentCreator": LOWER_CAMEL,
    "DeploymentErrorCode": KEEP,
    "FileExistsBehavior": KEEP,
    "MinimumHealthyHostsType": KEEP,
    "OfflineAction": KEEP,
    "OutdatedInstancesStrategy": KEEP,
    "Queueing": KEEP,
    "SeveralSeries": KEEP,
    "TagFilterType": KEEP,
}
ODD = {"DEPLOYMENT_CREATOR_CODE_DEPLOY_AUTO_UPDATE": "CodeDeployAutoUpdate"}
"""What CodeDeploy spells otherwise than its neighbours."""


class EnumWrapper(Protocol):
    """An enum of the protos: `protos.resources.DeploymentStatus`."""

    @property
    def DESCRIPTOR(self) -> "EnumDescriptor":
        """What protobuf knows of it."""


def spelt(message: "Message", field: str) -> str:
    """The value of an enum field as CodeDeploy spells it; "" when it is not said."""
    return _spell(message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field))


def spell(enum: EnumWrapper, number: int) -> str:
    """One value of an enum as CodeDeploy spells it."""
    return _spell(enum.DESCRIPTOR, number)


def number(enum: EnumWrapper, spelling: str) -> int:
    """The enum value that is spelt so, whatever the case of its letters. ValueError when there is none."""
    return _number(enum.DESCRIPTOR, spelling)


def number_in(message: "Message", field: str, spelling: str) -> int:
    """The value of an enum field that is spelt so; 0 for "". ValueError when there is none."""
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    assert enum is not None
    return _number(enum, spelling) if spelling else 0


def spellings(enum: EnumWrapper) -> list[str]:
    """All values of an enum but "not said"."""
    return _spellings(enum.DESCRIPTOR)


def _number(enum: "EnumDescriptor | upb.EnumDescriptor", spelling: str) -> int:
    for value in enum.values:
        if value.number and _spell(enum, value.number).lower() == spelling.lower():
            return value.number
    raise ValueError(f"{spelling!r} is none of {', '.join(_spellings(enum))}")


def _spellings(enum: "EnumDescriptor | upb.EnumDescriptor") -> list[str]:
    return [_spell(enum, value.number) for value in enum.values if value.number]


@functools.cache
def _spell(enum: "EnumDescriptor | upb.EnumDescriptor | None", number: int) -> str:
    assert enum is not None
    value = enum.values_by_number.get(number)
    if value is None:  # a newer coordinator knows more values than this program
        return str(number)
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"
    bare = value.name.removeprefix(prefix)
    if bare == "UNSPECIFIED":
        return ""
    return ODD.get(value.name) or _styled(bare, STYLES.get(enum.name, CAMEL))


def _styled(name: str, style: str) -> str:
    words = name.split("_")
    if style == KEEP:
        return name
    if style == LOWER:
        return name.lower()
    first = words[0].lower() if style == LOWER_CAMEL else words[0].capitalize()
    return first + "".join(word.capitalize() for word in words[1:])


def to_json(message: "Message") -> dict[str, JsonValue]:
    """A message as an object: protobuf's JSON with snake_case names, but enums as CodeDeploy spells them, digests in hexadecimal
    and 64-bit numbers as numbers. What is not a message is always there; a message that is not set is left out."""
    return {
        field.name: _field(message, field) for field in message.DESCRIPTOR.fields if not field.has_presence or message.HasField(field.name)
    }


def _field(message: "Message", field: "FieldDescriptor | upb.FieldDescriptor") -> JsonValue:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {str(key): value[key] for key in sorted(value)}
    if field.is_repeated:
        return [_value(field, element) for element in value]
    return _value(field, value)


def _value(field: "FieldDescriptor | upb.FieldDescriptor", value: "Message | str | int | float | bool | bytes") -> JsonValue:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return value if field.enum_type is None else _spell(field.enum_type, value)
    if value.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        return str(getattr(value, "ToJsonString")())  # noqa: B009  (a well-known type's own method, which Message does not declare)
    return to_json(value)
