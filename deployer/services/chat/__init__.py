"""Chats: who speaks, what they want, what they are told."""
