"""A wide four-stage residual network for CIFAR, as a plugin of the zoo."""
