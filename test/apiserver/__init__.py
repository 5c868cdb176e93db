"""A small Kubernetes API server for tests, the demo and benchmarks. See docs/apiserver.md."""
