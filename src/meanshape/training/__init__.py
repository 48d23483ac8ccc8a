"""How a network learns: loop, sampling, augmentation and losses. Knows no method."""
