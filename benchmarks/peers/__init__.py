"""pycnn beside the other runtimes: the same networks, weights, batches and threads."""
