"""NSGA-II with a mutation that draws from a policy conditioned on the parent (our choice)."""
