"""The other side: stand-ins for the platforms, sharing no code with the product."""
