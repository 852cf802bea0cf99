"""How databases are opened, brought forward, and how their errors are told: for log and memory."""
