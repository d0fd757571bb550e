"""The selection stage: per-token records -> scores -> the samples worth learning."""
