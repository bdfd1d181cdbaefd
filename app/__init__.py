"""The application: people, documents, conversations."""
