"""Through: from calls.audio and calls.events to facts. Each folder is a service of its own."""
