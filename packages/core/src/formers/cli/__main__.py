"""``python -m formers.cli``."""

import sys

from . import main

sys.exit(main())
