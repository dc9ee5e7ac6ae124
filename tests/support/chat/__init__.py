"""The chat platforms' side: small servers that check what we send against the platform's limits."""
