"""Write the models of a hub as a static site, which works from a file and on any host, and loads nothing else."""
