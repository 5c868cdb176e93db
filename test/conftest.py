"""Makes the packages below test/ (lab, apiserver, demo) importable by their own names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
