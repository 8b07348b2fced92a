"""Server reflection under both of its names: v1, and v1alpha for older tools. Their messages are the same but for the package's name."""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

OLD = "grpc.reflection.v1alpha"
NEW = "grpc.reflection.v1"
METHOD = "ServerReflectionInfo"


def add_reflection(server: aio.Server, services: list[str]) -> None:
    """Let clients ask which services there are, these and reflection itself, and what their messages look like."""
    pool = _with_v1(descriptor_pool.Default())
    servicer = ReflectionServicer([*services, f"{NEW}.ServerReflection", f"{OLD}.ServerReflection"], pool=pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for package in (NEW, OLD):
        server.add_registered_method_handlers(f"{package}.ServerReflection", {METHOD: handler})


def _with_v1(pool: descriptor_pool.DescriptorPool) -> descriptor_pool.DescriptorPool:
    """The pool, with a description of v1 made from that of v1alpha."""
    path = "grpc/reflection/v1/reflection.proto"
    try:
        pool.FindFileByName(path)
    except KeyError:
        old = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(old)
        new = descriptor_pb2.FileDescriptorProto.FromString(old.SerializeToString())
        new.name, new.package = path, NEW
        for field in [field for message in new.message_type for field in message.field if field.type_name]:
            field.type_name = field.type_name.replace(f".{OLD}.", f".{NEW}.")
        for method in [method for service in new.service for method in service.method]:
            method.input_type = method.input_type.replace(f".{OLD}.", f".{NEW}.")
            method.output_type = method.output_type.replace(f".{OLD}.", f".{NEW}.")
        pool.Add(new)
    return pool
