"""`python -m cryosnake.cli`."""

import sys

from cryosnake.cli import main

sys.exit(main())
