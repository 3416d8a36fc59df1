"""The certificate of a server that ends TLS itself, from files that are renewed while it runs."""

import ssl
from pathlib import Path


class Certificate:
    """A PEM chain and its key, as a TLS context for listening. `refresh` takes renewed files over.

    Raises `ssl.SSLError` or `OSError` where the files cannot be used at first.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self._read = self._contents()
        self.context = self._loaded()

    def refresh(self) -> bool | None:
        """Read again. None: nothing has changed; True: the new one counts; False: it cannot, and the old one does."""
        found = self._contents()
        if found == self._read:
            return None
        self._read = found
        try:
            # tried first: a context that takes a chain and refuses its key would have neither
            self._loaded()
            self.context.load_cert_chain(self._chain, self._key)
        except (OSError, ssl.SSLError):
            return False
        return True

    def _contents(self) -> tuple[bytes | None, ...]:
        return tuple(_content(path) for path in (self._chain, self._key))

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._chain, self._key)
        return context


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
