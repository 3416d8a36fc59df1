"""One module per claim: `./dev bench NAME`. The last line of each is `RESULT <name> key=value …`.

Numbers are ratios to a limit or a peer measured in the same run wherever they can be: machines are noisy.
"""
