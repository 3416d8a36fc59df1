"""The engine: hosts for components. It knows no vendor, no processor and no sink."""
