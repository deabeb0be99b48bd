"""What of the project lives on a Prefect server, as data, and the one way it gets there."""
