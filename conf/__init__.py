"""The Hydra configs. A package, so that an installed falsr_nas finds them."""
