"""The one error of the contract: bytes that are no record."""


class InvalidRecord(Exception):
    """A value cannot be read as the record it should be. Nobody acts now: it becomes a dead letter and is counted.

    The text names the defect, never the content.
    """
