"""What `make demo` shows and checks; test/functional/test_demo.py runs the same checks."""
