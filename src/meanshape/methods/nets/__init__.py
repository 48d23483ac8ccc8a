"""Torch modules of the deep methods: imported by fit and export only, never on the way to a prediction."""
