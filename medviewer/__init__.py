"""medviewer: read medical images, let a model suggest, correct it, and prove the better model.

For research and education. Not a medical device. Not for diagnosis or treatment.
"""

__version__ = "0.1.0"
