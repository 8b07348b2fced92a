"""Speaks with operators over gRPC."""
