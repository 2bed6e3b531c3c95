"""What can be built: cells, genomes, the search space and its costs. No torch in here."""
