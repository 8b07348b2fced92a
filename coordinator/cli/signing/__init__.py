"""Signing revisions: minisign's keys and signatures, and the statement that is signed. Needs no coordinator."""
