"""What operators ask of a deployment group, one request a module; `core/machine.py` hands them out."""
