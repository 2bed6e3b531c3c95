"""What the commands share: Hydra configuration, errors, interruption, the lock of a run folder."""
