"""The sandbox as an HTTP service on one node."""
