"""What can be asked of us. Services flush; only the edge commits."""
