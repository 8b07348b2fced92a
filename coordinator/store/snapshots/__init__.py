"""What is read whole in one transaction, so that no write comes between its parts."""
