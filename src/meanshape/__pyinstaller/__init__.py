"""What PyInstaller must know to put Meanshape into an app; it finds this through an entry point."""

from pathlib import Path


def get_hook_dirs() -> list[str]:
    """Return the folder that holds `hook-meanshape.py`."""
    return [str(Path(__file__).parent)]
