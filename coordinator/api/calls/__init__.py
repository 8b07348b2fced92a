"""What every call of an operator goes through, whatever it asks for."""
