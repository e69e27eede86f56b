"""The load that benchmarks put on what they measure, from its own process on its own core."""
