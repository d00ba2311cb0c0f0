"""What the notebooks measure: a module a question, imported from where it stands."""
