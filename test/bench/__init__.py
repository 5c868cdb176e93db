"""Benchmarks: each module measures Canal beside a floor or a peer in the same run."""
