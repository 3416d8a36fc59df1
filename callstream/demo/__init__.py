"""The demo: real processes, scripted calls, a live table, and checks that fail it.

`services` starts and ends the components as processes, `stage` puts broker, topics, services and calls together,
`reader` follows the topics, `board` keeps and draws what they say, `evidence` and `checks` compare it with the script.
"""
