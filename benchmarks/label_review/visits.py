"""Not there yet."""


def main(argv):
    """Not there yet."""
    raise SystemExit("not yet")
