"""Words, texts and made sequences."""
