"""What the coordinator counts, for Prometheus.

`committed` counts what commits say, `tally` what the gateway does for every message, `calls` what comes over gRPC, `storage` what is kept;
`live` looks at what goes on whenever somebody asks. `catalogue` is all of them, `names` says whose names may be seen.
"""

from coordinator.metrics.calls import MethodCalls
from coordinator.metrics.catalogue import LoopLag, Metrics
from coordinator.metrics.live import Sight
from coordinator.metrics.names import NAMED_AT_MOST, OTHERS
from coordinator.metrics.storage import Sizes
from coordinator.metrics.tally import Tally

__all__ = ["NAMED_AT_MOST", "OTHERS", "LoopLag", "MethodCalls", "Metrics", "Sight", "Sizes", "Tally"]
