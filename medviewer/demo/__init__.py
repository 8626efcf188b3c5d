"""The whole circle on synthetic patients, told as a story: what `medviewer demo` does."""
