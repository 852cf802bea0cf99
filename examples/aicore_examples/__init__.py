"""Example bots, each run with `python -m aicore_examples.<name>`."""
