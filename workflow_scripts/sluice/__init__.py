"""Sluice's library: pure functions that the scripts in ``workflow_scripts/`` call.

Imports point one way: scripts -> stage packages (data, tokenizer, base, gate, selection, report)
-> core (settings, config, records, tables, files, errors, logs, seeds, fingerprint, ledger, state).
Stages do not import each other, and nothing imported by ``sluice.config`` imports torch.
"""
