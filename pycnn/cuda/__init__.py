"""Networks on an NVIDIA GPU: which device, the plan for it, its arrays. `pycnn._cuda` runs them."""
