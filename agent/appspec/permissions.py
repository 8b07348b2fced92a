"""What an entry of `permissions` may say."""

import re

from agent.appspec import FileMapping, Permission, SelinuxContext
from agent.appspec.items import Entry, Item
from agent.appspec.values import Findings, Keys, given, mapping, spelt, word, words

_KEYS = ("object", "pattern", "except", "owner", "group", "mode", "acls", "context", "type")
_TYPES = ("file", "directory")
_PLURALS = {"file": "files", "directory": "directories"}
_SETTINGS = ("owner", "group", "mode", "acls", "context")
_MODE = re.compile(r"[0-7]{1,4}")
_LEADING_ZERO = re.compile(r"0[0-7]+")
_ACL_KINDS = {"u": "user", "user": "user", "g": "group", "group": "group", "m": "mask", "mask": "mask", "o": "other", "other": "other"}
_ACL_PERMISSION = re.compile(r"[0-7]|[rwx-]{1,3}")
_RANGE = re.compile(r"s(\d{1,2})(?:-s(\d{1,2}))?(:c\d{1,4}(?:\.c\d{1,4})?(?:,c\d{1,4}(?:\.c\d{1,4})?)*)?")
_CATEGORIES = re.compile(r"c(\d+)(?:\.c(\d+))?")
_HIGHEST_CATEGORY = 1023


def read_permission(item: Item, findings: Findings) -> Permission:
    """Read one entry; raises Flaw where it makes no sense."""
    keys = mapping(item, "an entry of permissions is a mapping with object")
    path = word(keys, "object")
    if not path:
        raise item.flaw("missing-key", "an entry of permissions needs an object: a file or directory on the host")
    if not path.startswith("/"):
        message = f"object {path} is relative: it is taken from the root directory"
        findings.notice(keys["object"].value.finding("relative-path", message, f"write /{path}"))
    findings.unknown_keys(keys, _KEYS, " of a permissions entry")
    pattern, except_ = word(keys, "pattern") or "**", words(keys, "except")
    for each in ([keys["pattern"].value] if "pattern" in keys else []) + list(except_):
        _check_pattern(each, path, findings)
    acls, types = findings.attempt(lambda: _acls(keys), ()), findings.attempt(lambda: _types(keys), _TYPES)
    if "file" in types and any(acl.startswith(("d:", "default:")) for acl in acls):
        message = "a default ACL is for directories, and this entry speaks of files too"
        findings.notice(keys["acls"].value.finding("default-acl-for-files", message, "add type: [directory]"))
    _check_sense(keys, types, findings)
    return Permission(
        object=path,
        pattern=pattern,
        except_=tuple(spelt(each) for each in except_),
        owner=word(keys, "owner"),
        group=word(keys, "group"),
        mode=findings.attempt(lambda: _mode(keys, findings), None),
        acls=acls,
        context=findings.attempt(lambda: _context(keys, findings), None),
        type=types,
    )


def _check_sense(keys: Keys, types: tuple[str, ...], findings: Findings) -> None:
    at = keys["object"].value
    if not types:
        findings.notice(keys["type"].value.finding("permission-without-effect", "an empty type matches nothing", "remove type"))
    elif len(types) == 1:
        message = f"this reaches the {_PLURALS[types[0]]} at every depth, or only those directly below the object, as pattern says"
        findings.notice(keys["type"].value.finding("type-is-not-depth", message))
    if not any(given(keys, name) for name in _SETTINGS):
        findings.notice(at.finding("permission-without-effect", "this entry says nothing of what it reaches", "add owner, group or mode"))


def check_effect(entry: Entry | None, files: tuple[FileMapping, ...], findings: Findings) -> None:
    """Tell of entries that reach nothing which `files` installs: the original passes over them in silence."""
    places = [f"/{each.destination.strip('/')}/".replace("//", "/") for each in files]
    for item in entry.value.value if entry is not None and isinstance(entry.value.value, tuple) else ():
        at = given(item.value, "object") if isinstance(item.value, dict) else None
        if at is None or not isinstance(at.value, str):
            continue
        place = f"/{at.value.strip('/')}/".replace("//", "/")
        if not any(place.startswith(each) or each.startswith(place) for each in places):
            message = f"nothing is installed at {at.value}, so that this entry does nothing"
            findings.notice(at.finding("permission-without-effect", message, "name something below a destination of files"))


def _check_pattern(item: Item, path: str, findings: Findings) -> None:
    pattern = spelt(item)
    if "/" in pattern:
        message = f"the pattern {pattern} never matches: it is compared with names directly below {path}"
        findings.notice(item.finding("pattern-never-matches", message, "write a name, or name the directory as an object of its own"))
    elif "?" in pattern or "[" in pattern:
        findings.notice(item.finding("pattern-not-a-glob", f"in the pattern {pattern} only * is special", "use *"))


def _types(keys: Keys) -> tuple[str, ...]:
    if given(keys, "type") is None:
        return _TYPES
    found = words(keys, "type")
    for each in found:
        if each.value not in _TYPES:
            raise each.flaw("wrong-type", f"type must be a list of file and directory, not {each.value}")
    return tuple(spelt(each) for each in found)


def _mode(keys: Keys, findings: Findings) -> int | None:
    item = given(keys, "mode")
    if item is None:
        return None
    if isinstance(item.value, int) and not isinstance(item.value, bool):
        digits = item.text.replace("_", "")  # As spelt: 0x1ff is no mode, whatever its value.
        if _LEADING_ZERO.fullmatch(item.text):
            # Read as an octal number the original would set another mode, or fail. It cannot be what was meant.
            digits = item.text[1:]
            message = f"mode {item.text} has a leading zero without quotes, which CodeDeploy's first agent misreads"
            findings.notice(item.finding("mode-leading-zero", message, f"write '{item.text}'"))
    else:
        digits = item.value if isinstance(item.value, str) else "?"
    if _MODE.fullmatch(digits) is None:
        raise item.flaw("mode", "mode must have one to four octal digits, for example 644 or '0755'")
    return int(digits, 8)


def _acls(keys: Keys) -> tuple[str, ...]:
    found = words(keys, "acls")
    for item in found:
        why = _acl_problem(spelt(item))
        if why:
            raise item.flaw("acl", f"the ACL {spelt(item)!r} {why}")
    return tuple(spelt(item) for item in found)


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
    if name and kind in ("mask", "other"):
        return f"names {name}, but mask and other belong to nobody"
    if not name and kind != "mask" and not default:
        return "names nobody; use mode for the owner, the group and others"
    return None


def _context(keys: Keys, findings: Findings) -> SelinuxContext | None:
    item = given(keys, "context")
    if item is None:
        return None
    inner = mapping(item, "context must be a mapping with type")
    type_, range_ = word(inner, "type"), word(inner, "range")
    if not type_:
        raise item.flaw("missing-key", "an SELinux context needs a type")
    if range_ is not None and not _is_range(range_):
        raise inner["range"].value.flaw("wrong-type", f"{range_!r} is no SELinux range, such as s0-s15:c0.c1023")
    if "user" in inner:
        message = "CodeDeploy's agents read the SELinux user from the key name, not from user"
        findings.notice(inner["user"].key.finding("selinux-user", message, "write name"))
    message = "this agent does not speak to SELinux and refuses to install without the context"
    findings.notice(keys["context"].key.finding("selinux", message, "use semanage and restorecon in an AfterInstall script"))
    return SelinuxContext(type=type_, user=word(inner, "name") or word(inner, "user"), range=range_)


def _is_range(text: str) -> bool:
    """Whether it is sN[-sM][:cA[.cB](,...)*] with the higher ones last, no category above the highest and none named twice."""
    found = _RANGE.fullmatch(text)
    if found is None or found[2] is not None and int(found[2]) < int(found[1]):
        return False
    seen: set[int] = set()
    for first, last in _CATEGORIES.findall(found[3] or ""):
        span = range(int(first), int(last or first) + 1)
        if not span or span[-1] > _HIGHEST_CATEGORY or seen.intersection(span):
            return False
        seen.update(span)
    return True
