"""Building the agent for machines without Python: PyInstaller makes a directory of it, from which an archive and packages are made."""
