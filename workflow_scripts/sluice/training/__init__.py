"""Fine-tuning on weighted samples (LoRA, QLoRA, all weights); adapters folded into their base."""
