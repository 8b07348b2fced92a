"""Where a host comes in: its stream, and the bundles. Who is shut out is out at both at once."""

from coordinator.core.model import HostId
from coordinator.gateway.bundles import BundleProcess
from coordinator.gateway.streams import Streams


class Doors:
    """Where a host comes in: its stream, and the bundles."""

    def __init__(self, streams: Streams, bundles: BundleProcess) -> None:
        """Both know hosts by their ids."""
        self._streams = streams
        self._bundles = bundles

    def let_in(self, host_id: HostId) -> None:
        """It may come in from now on."""
        self._bundles.let_in(host_id)

    def shut_out(self, host_id: HostId) -> None:
        """It may come in no more, and is out at once."""
        self._streams.shut_out(host_id)
        self._bundles.shut_out(host_id)

    def inside(self, host_id: HostId) -> bool:
        """Whether it is connected."""
        return self._streams.connected(host_id)
