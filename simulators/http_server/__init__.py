"""What the stand-ins of platforms we ask over HTTP have in common: an application on loopback, and its faults."""
