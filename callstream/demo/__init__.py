"""The demo: real processes, scripted calls, a live table, and checks that fail it.

`services` starts and ends the components as processes, `stage` puts broker, topics and services together, `play` places
the calls, `reader` follows the topics, `board` keeps and draws what they say, `evidence` gathers it, and `findings`
compares it with the script: `checks` the call itself, `loss_checks` what was lost, skipped and held up on the way.
"""
