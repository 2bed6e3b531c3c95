"""What every room may use: errors, files, settings, registries, plug-ins, signals, locks."""
