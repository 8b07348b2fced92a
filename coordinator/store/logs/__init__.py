"""What hooks printed, in files beside the database: one a deployment, in which the pieces of all its hosts lie as they came."""
