"""What the compiled loops share: the table of runs, a row a run, int64, and sizes."""

from __future__ import annotations

# float sums may be taken in any order: without that nothing is vectorized
FAST = {"reassoc", "contract", "nsz", "arcp"}
# keys scored before their values are added up
UNIT = 64
# keys whose attention mass is told as one number, ``kernels.decode_row.Watch.BLOCK``
LOOK = 16
# columns of the table of runs
ADDRESS, LAYER, VALUES, HEAD, LENGTH, KIND, MEANS, MEANS_LAYER, MEANS_HEAD, BLOCKS = range(10)
# of int8 data: where steps and centres lie, and how many tokens share them; GROUP 0: not int8
STEPS, STEPS_LAYER, STEPS_HALF, STEPS_HEAD, GROUP = range(10, 15)
COLUMNS = 15
