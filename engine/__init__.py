"""The reading engine: token ids in, tokens out. Knows no documents, no database, no interface."""
