"""analytics-pipeline: raw run logs of AI agents and LLM pipelines in, tables that a person can act on out."""

from __future__ import annotations
