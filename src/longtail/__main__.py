"""`python -m longtail` is `longtail`."""

from __future__ import annotations

import sys

from longtail.cli import main

if __name__ == "__main__":
    sys.exit(main())
