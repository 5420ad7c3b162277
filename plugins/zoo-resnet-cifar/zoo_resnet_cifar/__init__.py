"""The CIFAR residual networks of He et al., as a plugin of the zoo."""
