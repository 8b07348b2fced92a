"""Who this operator is to the coordinator, and who the others are: login, operators, the audit, and what is wrong."""
