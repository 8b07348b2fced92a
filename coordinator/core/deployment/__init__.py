"""The rules of one deployment, each told by itself; `core/machine.py` puts them together."""
