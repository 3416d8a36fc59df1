"""`python -m simulators.registry`: the registry on loopback until Ctrl-C."""

import argparse

import uvicorn

from simulators.registry.server import RegistryServer


def main() -> None:
    """Serve the registry."""
    parser = argparse.ArgumentParser(prog="python -m simulators.registry", description="A schema registry in memory.")
    parser.add_argument("--port", type=int, default=8081)
    arguments = parser.parse_args()
    uvicorn.run(RegistryServer().application(), port=arguments.port, access_log=False)


if __name__ == "__main__":
    main()
