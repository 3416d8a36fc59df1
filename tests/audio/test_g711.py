from audio import g711


def _mulaw_by_the_book(byte: int) -> int:
    code = ~byte & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def _alaw_by_the_book(byte: int) -> int:
    code = byte ^ 0x55
    magnitude = (code & 0x0F) << 4
    segment = (code & 0x70) >> 4
    magnitude = magnitude + 8 if segment == 0 else (magnitude + 0x108) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


def test_every_mulaw_byte_decodes_as_the_classic_algorithm_says():
    assert g711.PCMU.tolist() == [_mulaw_by_the_book(byte) for byte in range(256)]


def test_every_alaw_byte_decodes_as_the_classic_algorithm_says():
    assert g711.PCMA.tolist() == [_alaw_by_the_book(byte) for byte in range(256)]


def test_both_zeros_of_mulaw_are_digital_silence():
    assert g711.decode_pcmu(b"\xff\x7f").tolist() == [0, 0]


def test_the_extremes_are_the_ones_of_the_recommendation():
    assert g711.decode_pcmu(b"\x80\x00").tolist() == [32124, -32124]
    assert g711.decode_pcma(b"\xd5\x55\xaa\x2a").tolist() == [8, -8, 32256, -32256]


def test_squares_are_exact():
    assert g711.PCMU_SQUARES.tolist() == [sample**2 for sample in g711.PCMU.tolist()]
    assert g711.PCMA_SQUARES.tolist() == [sample**2 for sample in g711.PCMA.tolist()]
