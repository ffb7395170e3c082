"""What the modules of the command line share."""

from __future__ import annotations

import argparse
from typing import Any

Commands = Any  # argparse's subparsers, whose type has no public name
Arguments = argparse.Namespace
