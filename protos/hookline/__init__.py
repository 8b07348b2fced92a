"""The protobuf contracts of Hookline; see the .proto files."""
