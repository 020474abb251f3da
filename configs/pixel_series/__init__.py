"""Settings of the network that looks at each pixel alone, on sampled pixels."""
