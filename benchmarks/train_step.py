"""How fast a training step is, next to the same network in PyTorch, in one run.

    python -m benchmarks.train_step --json train_step.json

Needs jax, flax, optax and PyTorch, nothing else. All forms start from the same weights and see the
same pixels: that their losses agree shows that they do the same. They take turns, so that what
else the machine does hits all of them; times are medians. "x best PyTorch" is the time of the
fastest PyTorch form of the same precision, divided by the form's: above 1 is faster. "of peak" is
the network's arithmetic as XLA counts it, divided by time and by the rate of a large matrix
product measured in the same run. Adam's update is part of the step.
"""

import sys

from benchmarks import steps

if __name__ == "__main__":
    steps.main(steps.parse(sys.argv[1:], "train_step", __doc__), "train_step", train=True)
