"""The settings of every stage, one frozen model per rule, declared once.

From these models come the command-line flags, the check of config.yaml, the JSON schema for editors
(config.schema.json) and docs/config.md.
"""
