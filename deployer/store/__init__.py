"""Tables, and one module of queries per table."""
