"""The real peers of the contract suites, for connecting to them."""

import importlib.util
import sys
from pathlib import Path

_path = Path(__file__).resolve().parents[1] / "contracts" / "conftest.py"
_spec = importlib.util.spec_from_file_location("contract_peers", _path)
assert _spec is not None
assert _spec.loader is not None
_peers = importlib.util.module_from_spec(_spec)
sys.modules["contract_peers"] = _peers
_spec.loader.exec_module(_peers)

radicale = _peers.radicale
