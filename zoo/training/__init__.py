"""From a job to a model folder: what decides the bytes, the loop, and what it leaves."""
