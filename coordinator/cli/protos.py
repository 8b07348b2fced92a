"""gRPC and the generated protos, imported when they are first used.

Importing them takes about 100 ms, which `--help` and the completion of a command's name must not pay: so every module of the
command line says `protos.catalog.Revision`, never `from hookline.v1 import ...` at its top.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc as grpc
    from google.protobuf import duration_pb2 as duration
    from google.protobuf import field_mask_pb2 as field_mask
    from google.protobuf import timestamp_pb2 as timestamp
    from google.rpc import error_details_pb2 as error_details
    from grpc_status import rpc_status as rpc_status

    from hookline.v1 import access_pb2 as access
    from hookline.v1 import access_pb2_grpc as access_service
    from hookline.v1 import alarms_pb2 as alarms
    from hookline.v1 import alarms_pb2_grpc as alarm_service
    from hookline.v1 import catalog_pb2 as catalog
    from hookline.v1 import catalog_pb2_grpc as catalog_service
    from hookline.v1 import deployments_pb2 as deployments
    from hookline.v1 import deployments_pb2_grpc as deployment_service
    from hookline.v1 import fleet_pb2 as fleet
    from hookline.v1 import fleet_pb2_grpc as fleet_service
    from hookline.v1 import foresight_pb2 as foresight
    from hookline.v1 import foresight_pb2_grpc as foresight_service
    from hookline.v1 import resources_pb2 as resources
    from hookline.v1 import triggers_pb2 as triggers
    from hookline.v1 import triggers_pb2_grpc as trigger_service
else:
    import importlib
    import os

    _MODULES = {
        "grpc": "grpc",
        "duration": "google.protobuf.duration_pb2",
        "field_mask": "google.protobuf.field_mask_pb2",
        "timestamp": "google.protobuf.timestamp_pb2",
        "error_details": "google.rpc.error_details_pb2",
        "rpc_status": "grpc_status.rpc_status",
        "access": "hookline.v1.access_pb2",
        "access_service": "hookline.v1.access_pb2_grpc",
        "alarms": "hookline.v1.alarms_pb2",
        "alarm_service": "hookline.v1.alarms_pb2_grpc",
        "catalog": "hookline.v1.catalog_pb2",
        "catalog_service": "hookline.v1.catalog_pb2_grpc",
        "deployments": "hookline.v1.deployments_pb2",
        "deployment_service": "hookline.v1.deployments_pb2_grpc",
        "fleet": "hookline.v1.fleet_pb2",
        "fleet_service": "hookline.v1.fleet_pb2_grpc",
        "foresight": "hookline.v1.foresight_pb2",
        "foresight_service": "hookline.v1.foresight_pb2_grpc",
        "resources": "hookline.v1.resources_pb2",
        "triggers": "hookline.v1.triggers_pb2",
        "trigger_service": "hookline.v1.triggers_pb2_grpc",
    }

    def __getattr__(name):
        """Import a module the first time it is named."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's own log lines would stand between ours
        module = importlib.import_module(_MODULES[name])
        globals()[name] = module
        return module


__all__ = [
    "access",
    "access_service",
    "alarm_service",
    "alarms",
    "catalog",
    "catalog_service",
    "deployment_service",
    "deployments",
    "duration",
    "error_details",
    "field_mask",
    "fleet",
    "fleet_service",
    "foresight",
    "foresight_service",
    "grpc",
    "resources",
    "rpc_status",
    "timestamp",
    "trigger_service",
    "triggers",
]
