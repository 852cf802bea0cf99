"""The bench's modules, as `python bench/run.py` sees them."""

from __future__ import annotations

import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"

sys.path.append(str(BENCH))
