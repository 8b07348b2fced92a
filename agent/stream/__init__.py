"""The one stream to the coordinator. `AgentStream` is the agent's end of it."""

from agent.stream.stream import AgentStream, insecure_channel, secure_channel

__all__ = ["AgentStream", "insecure_channel", "secure_channel"]
