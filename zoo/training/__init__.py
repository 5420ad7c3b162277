"""Training: plans and jobs, the training loop, checkpoints, and the model folder that results."""
