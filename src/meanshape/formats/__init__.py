"""Label files, read and written: points in pixels with (0, 0) at the centre of the top-left pixel."""
