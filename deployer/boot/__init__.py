"""What a machine boots: one decision, printed for each loader."""
