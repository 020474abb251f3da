"""The original system's ground truth, reproduced, and what fixing each of its defects changes."""
