"""What templates need to say a description in an installer's words.

Each raises ValueError, with the remedy, for what that installer has no words for.
"""
