"""What matrices larger than memory take."""
