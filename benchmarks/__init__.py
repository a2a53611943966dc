"""What pycnn's speed is measured with; run as `python -m benchmarks` from the repository root."""
