"""What the commands share: Hydra configuration, error messages, interruption, the lock of a run folder."""
