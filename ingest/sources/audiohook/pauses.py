"""Who keeps a session paused: the client, we, or both; and what may be asked of the client about it. Pure.

The client tells a pause with `paused`, whoever wanted it: one that answers a `pause` of ours is ours, any other is the
client's own, a secure pause. While that one holds we ask for nothing: what we want then is asked for when it is over.
"""

from schemas.symbols import Reason


class Pauses:
    """The pauses of one session. Methods that may ask for something return whether to send it."""

    def __init__(self) -> None:
        self.secure = False
        self.secure_since_s = 0.0
        """When the client last told a pause of its own (monotonic)."""
        self._wanted = False
        self._unanswered = 0
        self._in_force = False
        self._ours_told = False

    @property
    def wanted(self) -> bool:
        """True while we want no audio."""
        return self._wanted

    @property
    def ending(self) -> bool:
        """True in a pause that we have taken back, until the client says that it is over."""
        return not self.secure and not self._in_force

    def want(self, *, may_ask: bool) -> bool:
        """Want no audio from now on; True: send `pause`. `may_ask`: audio flows, or is about to flow again."""
        if self._wanted:
            return False
        self._wanted = True
        return may_ask and self._ask()

    @property
    def withheld(self) -> bool:
        """True while we want audio, and do not ask for it because the client's own pause holds."""
        return not self._wanted and self._in_force and self.secure

    def begin(self) -> bool:
        """Begin a session; True: let it start paused."""
        return self._wanted and self._ask()

    def want_no_more(self, *, secure_is_over: bool = False) -> bool:
        """Want audio again; True: send `resume`. `secure_is_over`: known, though not from the client."""
        self._wanted = False
        if not self._in_force or (self.secure and not secure_is_over):
            return False
        self._in_force = False
        return True

    def told(self, now_s: float, *, paused: bool) -> Reason | None:
        """Take `paused`; return the reason of the pause that begins by it, None where none does."""
        if self._unanswered:
            self._unanswered -= 1
            if paused:
                return None
            self._ours_told = True
            return Reason.OWN_PAUSE
        # said again it may be another one: nobody says that the last was over while ours holds
        self.secure_since_s = now_s
        if self.secure:
            return None
        self.secure = True
        return Reason.SECURE_PAUSE

    def over(self) -> Reason:
        """Take `resumed`; return the reason of the pause that was."""
        reason = Reason.OWN_PAUSE if self._ours_told and not self.secure else Reason.SECURE_PAUSE
        self.secure = self._ours_told = False
        self._in_force = self._unanswered > 0
        return reason

    def again(self) -> bool:
        """Tell whether `pause` is to be sent now that a pause is over: we still want one, and have not asked."""
        return self._wanted and not self._unanswered and self._ask()

    def _ask(self) -> bool:
        self._unanswered += 1
        self._in_force = True
        return True
