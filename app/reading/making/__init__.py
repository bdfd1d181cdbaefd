"""Artefacts: made from documents by a template, step by step, each item with its place in a text."""
