"""What an operator may ask for, whatever the transport."""
