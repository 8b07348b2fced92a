"""Which numbers stand for which ids and names in the tables. Right on the write connection's thread, and only there."""

import sqlite3
from collections.abc import Callable


class Index(dict[str, int]):
    """Numbers by id; asks when it does not know one yet."""

    def __init__(self, ask: Callable[[str], int | None], what: str) -> None:
        """`ask` finds the number of an id, `what` names such ids."""
        super().__init__()
        self._ask = ask
        self._what = what

    def __missing__(self, key: str) -> int:
        """The number of an id that was not asked for before."""
        number = self.known(key)
        if number is None:
            raise LookupError(f"the database does not know {self._what} {key}")
        return number

    def known(self, key: str) -> int | None:
        """The number of an id, or None when there is no such thing."""
        number = self.get(key)
        if number is None:
            number = self._ask(key)
            if number is not None:
                self[key] = number
        return number


class Numbers:
    """All numbers that writers need, remembered between transactions. Forget them when a transaction was rolled back."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Nothing is read before it is asked for."""
        self._db = db
        self.names = Index(self._intern, "name")
        """Interned texts: host names, principals, entries, config names. Those that are new are stored."""
        self.hosts = Index(self._find("SELECT host_no FROM host WHERE host_id = ?"), "host")
        self.groups = Index(self._find("SELECT group_no FROM deployment_group WHERE group_id = ?"), "deployment group")
        self.deployments = Index(self._find("SELECT deployment_no FROM deployment WHERE deployment_id = ?"), "deployment")
        self._last_history: int | None = None

    def forget(self) -> None:
        """Ask the database again from now on."""
        for index in (self.names, self.hosts, self.groups, self.deployments):
            index.clear()
        self._last_history = None

    def history(self, count: int) -> range:
        """Ids for the next `count` rows of the history."""
        last = self._last_history
        if last is None:
            last = int(self._db.execute("SELECT coalesce(max(history_id), 0) FROM history").fetchone()[0])
        self._last_history = last + count
        return range(last + 1, last + count + 1)

    def _intern(self, name: str) -> int:
        found = self._db.execute("SELECT name_no FROM name WHERE name = ?", (name,)).fetchone()
        found = found or self._db.execute("INSERT INTO name (name) VALUES (?) RETURNING name_no", (name,)).fetchone()
        return int(found[0])

    def _find(self, query: str) -> Callable[[str], int | None]:
        def ask(key: str) -> int | None:
            found = self._db.execute(query, (key,)).fetchone()
            return None if found is None else int(found[0])

        return ask
