"""HTTP: machines.py for installers, operators.py for people. Handlers only translate."""
