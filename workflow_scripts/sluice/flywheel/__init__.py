"""The flywheel: a local model talks with a simulated user, and a judge scores what it says.

`local_server` and `process_guard` serve the model, `topics`, `simulated_user` and `simulation` make
the dialogues, `verdicts` and `judging` score them. `offline_*` is the built-in server that plays
user and judge where no other is named.
"""
