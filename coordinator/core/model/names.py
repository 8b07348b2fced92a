"""What things are called: ids, none of which can be mistaken for another."""

from typing import NewType

HostId = NewType("HostId", str)
GroupId = NewType("GroupId", str)
DeploymentId = NewType("DeploymentId", str)
RevisionId = NewType("RevisionId", str)
InstructionId = NewType("InstructionId", str)
JournalId = NewType("JournalId", str)
