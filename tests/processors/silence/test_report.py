from tests.processors.silence.calls import QUIET, Call, run


def test_what_follows_an_info_is_told_with_it_and_what_came_before_without():
    call = Call().open().say(QUIET).open(agent="eve").say(QUIET).close()
    # the fifth second is told with the block behind it
    assert [w.agent for w in run(call).windows] == [None] * 4 + ["eve"] * 6
