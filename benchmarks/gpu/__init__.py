"""Networks and their layers on a GPU, beside PyTorch there."""
