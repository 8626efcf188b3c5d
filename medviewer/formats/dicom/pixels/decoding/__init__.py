"""Compressed pixels are decoded in child processes with limits of memory and time, so that a hostile frame costs one
sentence and neither the window nor the rest of the study.

`pool` owns the processes, `series` spreads the frames of a stack over them, `child` is what runs in them; `mailbox` is
the memory that both sides see, `messages` what they say to each other and `limits` how much a frame may cost.
"""
