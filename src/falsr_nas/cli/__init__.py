"""What the commands share: configuration by Hydra, errors as one line, the console."""
