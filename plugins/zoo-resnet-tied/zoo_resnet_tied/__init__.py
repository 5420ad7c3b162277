"""A residual network with tied weights for CIFAR, as a plugin of the zoo."""
