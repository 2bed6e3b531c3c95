"""Who proposes the next genomes (paper, IV)."""
