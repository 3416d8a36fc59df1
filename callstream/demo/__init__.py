"""The demo: real processes, scripted calls, a live table, and checks that fail it.

`services` starts and ends the components as processes, `stand_ins` are the platforms they call, `stage` puts broker,
topics and services together, `play` places the calls, `reader` follows the topics, `board` keeps and draws what they
say, `evidence` gathers it, `findings` compares it with the script, and `summary` tells the result: `checks` the call
itself, `loss_checks` what was lost, skipped and held up on the way, `pause_checks` what was kept back in the pause,
`bot_checks` what the bot heard and answered, `stream` a media stream, `live` a call without numbers, whose platforms
are `live_stand_ins`. `source` names the ways to ingest. `sweep` takes `leak_scan` through all records and files at the
end.
"""
