"""What speculation costs and yields, and that it changes nothing."""
