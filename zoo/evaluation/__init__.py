"""Evaluate models, verify them against their records, and predict images."""
