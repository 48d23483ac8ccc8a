"""The vocabulary: types, mark-ups, geometry, images, metrics, registry, config, weights, errors."""
