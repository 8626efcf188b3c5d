"""How each kind of task is measured: one module a kind, found through `medviewer.learning.evaluate`."""
