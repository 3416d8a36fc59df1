"""The platform's login server as far as client credentials need it: `POST /oauth/token`, with faults on demand.

Made from the platform's published interface alone, with no code of `runtime.oauth`. `server` answers and remembers;
`python -m simulators.oauth` serves it on loopback. Secrets are accepted in the `Authorization` header only.
"""
