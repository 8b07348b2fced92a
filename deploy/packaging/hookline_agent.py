"""Where the self-contained agent begins. Its bootloader has put its own libraries before the host's: hooks may not see them."""

import os
import sys

for _name in [name for name in os.environ if name == "LD_LIBRARY_PATH" or name.startswith(("_PYI_", "_MEI"))]:
    del os.environ[_name]
_before = os.environ.pop("LD_LIBRARY_PATH_ORIG", "")
if _before:
    os.environ["LD_LIBRARY_PATH"] = _before

from agent.app import main  # noqa: E402

sys.exit(main())
