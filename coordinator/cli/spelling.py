"""How messages are spelt for people and scripts: enum values as CodeDeploy writes them, and messages as plain JSON objects.

The names of the protos decide: the enum's prefix goes, and what is left is written in the style of its enum (STYLES).
"""

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
    from google.protobuf.message import Message

type_ = type
JsonValue = "str | int | float | bool | None | list[JsonValue] | dict[str, JsonValue]"

# The style of an enum's values; those not named here are CAMEL: "InProgress", "ApplicationStop".
KEEP, LOWER, LOWER_CAMEL = "HOST_COUNT", "tgz", "codeDeployRollback"
STYLES = {
    "AutoRollbackEvent": KEEP,
    "BundleType": LOWER,
    "DeploymentCreator": LOWER_CAMEL,
    "DeploymentErrorCode": KEEP,
    "FileExistsBehavior": KEEP,
    "MinimumHealthyHostsType": KEEP,
    "TagFilterType": KEEP,
}
