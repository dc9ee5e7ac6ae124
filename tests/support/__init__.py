"""What tests share: fakes that behave, and real servers that clean up after themselves."""
