"""How fast inference is, next to the same network in PyTorch, in one run.

    python -m benchmarks.predict_step --json predict_step.json

As `benchmarks.train_step`, for the step from pixels to probabilities.
"""

import sys

from benchmarks import steps

if __name__ == "__main__":
    steps.main(steps.parse(sys.argv[1:], "predict_step", __doc__), "predict_step", train=False)
