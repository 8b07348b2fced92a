"""What an entry of an AppSpec's `permissions` may say."""

import re
from collections.abc import Callable

from agent.appspec import Permission, SelinuxContext
from agent.appspec.items import Entry, Item

_KEYS = ("object", "pattern", "except", "owner", "group", "mode", "acls", "context", "type")
_TYPES = ("file", "directory")
_MODE = re.compile(r"[0-7]{1,4}")
_LEADING_ZERO = re.compile(r"0[0-7]+")
_ACL_KINDS = {"u": "user", "user": "user", "g": "group", "group": "group", "m": "mask", "mask": "mask", "o": "other", "other": "other"}
_ACL_PERMISSION = re.compile(r"[0-7]|[rwx-]{1,3}")
_RANGE = re.compile(r"s\d{1,2}(-s\d{1,2})?(:c\d{1,4}(\.c\d{1,4})?(,c\d{1,4}(\.c\d{1,4})?)*)?")

Warn = Callable[[Item, str], None]


def permission(item: Item, keys: dict[str, Entry], warn: Warn) -> Permission:
    """Read one entry; raises YamlError where it makes no sense."""
    path = _word(keys, "object")
    if not path:
        raise item.error("an entry of permissions needs an object: a file or directory on the host")
    if not path.startswith("/"):
        warn(item, f"object {path} is relative: it is taken from the root directory; write /{path}")
    for key, entry in keys.items():
        if key not in _KEYS:
            warn(entry.key, f"the key {key} of a permissions entry is ignored")
    pattern = _word(keys, "pattern") or "**"
    except_ = _words(keys, "except")
    for each in (pattern, *except_):
        if "/" in each:
            warn(item, f"the pattern {each} never matches: it is compared with names directly below {path}")
    return Permission(
        object=path,
        pattern=pattern,
        except_=except_,
        owner=_word(keys, "owner"),
        group=_word(keys, "group"),
        mode=_mode(keys, warn),
        acls=_acls(keys),
        context=_context(keys, warn),
        type=_types(keys),
    )


def _word(keys: dict[str, Entry], name: str) -> str | None:
    entry = keys.get(name)
    if entry is None or entry.value.value is None:
        return None
    found = entry.value.value
    if not isinstance(found, str):
        raise entry.value.error(f"{name} must be a name; quote it if it is a number")
    if "\n" in found or "\0" in found:
        raise entry.value.error(f"{name} must be one line")
    return found


def _words(keys: dict[str, Entry], name: str) -> tuple[str, ...]:
    entry = keys.get(name)
    if entry is None or entry.value.value is None:
        return ()
    if not isinstance(entry.value.value, tuple):
        raise entry.value.error(f"{name} must be a list: [a, b]")
    found = []
    for item in entry.value.value:
        if not isinstance(item.value, str):
            raise item.error(f"{name} must be a list of words; quote what looks like a number")
        found.append(item.value)
    return tuple(found)


def _types(keys: dict[str, Entry]) -> tuple[str, ...]:
    entry = keys.get("type")
    if entry is None or entry.value.value is None:
        return _TYPES
    found = _words(keys, "type")
    for each in found:
        if each not in _TYPES:
            raise entry.value.error(f"type must be a list of file and directory, not {each}")
    return found


def _mode(keys: dict[str, Entry], warn: Warn) -> int | None:
    entry = keys.get("mode")
    if entry is None or entry.value.value is None:
        return None
    item = entry.value
    if isinstance(item.value, int) and not isinstance(item.value, bool):
        digits = item.text.replace("_", "")  # As spelt: 0x1ff is no mode, whatever its value.
        if _LEADING_ZERO.fullmatch(item.text):
            # Read as an octal number the original would set another mode, or fail. It cannot be what was meant.
            digits = item.text[1:]
            warn(item, f"mode {item.text} has a leading zero without quotes, which CodeDeploy's first agent misreads; write '{item.text}'")
    else:
        digits = item.value if isinstance(item.value, str) else "?"
    if _MODE.fullmatch(digits) is None:
        raise item.error("mode must have one to four octal digits, for example 644 or '0755'")
    return int(digits, 8)


def _acls(keys: dict[str, Entry]) -> tuple[str, ...]:
    found = _words(keys, "acls")
    for acl in found:
        why = _acl_problem(acl)
        if why:
            raise keys["acls"].value.error(f"the ACL {acl!r} {why}")
    return found


def _acl_problem(acl: str) -> str | None:
    parts = acl.split(":")
    if not 2 <= len(parts) <= 4:
        return "must have two to four parts: [default:][user|group|mask|other:]name:permissions"
    *head, bits = parts
    default = head[0] in ("d", "default")
    head = head[1:] if default else head
    kind = _ACL_KINDS.get(head[0]) if head else None
    name = head[-1] if len(head) == 2 or kind is None and head else ""
    if len(head) > 2 or len(head) == 2 and kind is None:
        return "must name user, group, mask or other before the name"
    if _ACL_PERMISSION.fullmatch(bits) is None:
        return "must end with one octal digit or with letters of rwx-"
    if not name and kind != "mask" and not default:
        return "names nobody; use mode for the owner, the group and others"
    return None


def _context(keys: dict[str, Entry], warn: Warn) -> SelinuxContext | None:
    entry = keys.get("context")
    if entry is None or entry.value.value is None:
        return None
    inner = entry.value.value
    if not isinstance(inner, dict):
        raise entry.value.error("context must be a mapping with type")
    type_, range_ = _word(inner, "type"), _word(inner, "range")
    if not type_:
        raise entry.value.error("an SELinux context needs a type")
    if range_ is not None and _RANGE.fullmatch(range_) is None:
        raise inner["range"].value.error(f"{range_!r} is no SELinux range, such as s0-s15:c0.c1023")
    if "user" in inner:
        warn(inner["user"].key, "CodeDeploy's agents read the SELinux user from the key name, not from user")
    return SelinuxContext(type=type_, user=_word(inner, "name") or _word(inner, "user"), range=range_)
