"""What trains a cascade of face detectors: labelled faces, windows, pasted scenes, mining, a stage's loop."""
