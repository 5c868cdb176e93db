"""Tools for tests of policy: packets between all pods at once, expected tables, the pods and policies of one module."""
