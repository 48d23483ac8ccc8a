"""Meanshape: facial landmarks from ASM to DAN behind one interface."""
