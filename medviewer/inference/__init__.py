"""What models say about a case: task cards, model store, networks, pre- and post-processing, the inference process."""

import os

# torch's OpenMP threads spin while they wait for each other. On a machine with other work (a training beside a
# suggestion, say) that made a suggestion of 4 s of processor time take 140 s instead of 13 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
