"""Makes a package of the service from a Keras model and some images: `write_package`.

`faults.py` says what went wrong, `reading.py` how images were read in training, `model.py` what a model is,
`package.py` writes. Which keys a config has: docs/preprocessing.md; which an example: docs/packages.md.
"""

from .faults import PackageFault
from .package import write_package
from .reading import reading

__all__ = ["PackageFault", "reading", "write_package"]
