"""The networks: one file per paper, each a table and a builder, and the registry of variants.

Importing this package registers every variant and builds no graph.
"""

# ruff: noqa: F401, I001  # imported to register, in the order of the papers and of variants()
from pycnn.models import lenet
from pycnn.models import alexnet
from pycnn.models import nin
from pycnn.models import vgg
from pycnn.models import inception
from pycnn.models import resnet
from pycnn.models.registry import find, names, variants
from pycnn.models.variant import Published, Variant

__all__ = ["Published", "Variant", "find", "names", "variants"]
