"""Settings of the demo: two small simulated worlds, a small network, minutes on two cores."""
