"""The flywheel: a local model talks with a simulated user, and a judge scores what it says.

`local_server` serves the model; `simulated_user` and `simulation` make the dialogues on topics,
`verdicts` and `judging` score them; `filtering` keeps what is worth learning, `turn_scores` and
`summary` compare turns, `calibration` and `pairwise` examine the judges. `offline_*` is the
built-in server that plays user and judge where no other is named.
"""
