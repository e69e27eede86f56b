"""One file a question: ``python -m benchmarks NAME`` prints a table, ``--json`` keeps it."""
