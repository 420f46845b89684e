"""The assets, one module a family; each is thin: a window, SQL or statistics, a write, and what the asset page tells.

`common.py` holds what they share. Which of them run together, and when, is said in automation.py.
"""

from __future__ import annotations
