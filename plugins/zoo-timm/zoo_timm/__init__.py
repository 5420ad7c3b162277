"""timm's ResNets as models of the zoo, and the zoo's models in timm's registry."""
