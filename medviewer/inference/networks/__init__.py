"""The networks. Only the inference and training processes import these modules: they import torch."""
