"""Search for small, fast super-resolution networks, after FALSR (Chu et al., 2019)."""

from falsr_nas.cli.startup import exit_quietly_on_signals

exit_quietly_on_signals()  # before anything else is imported

import lazy_loader  # noqa: E402

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
