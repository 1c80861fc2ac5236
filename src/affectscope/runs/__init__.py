"""Runs: what is asked, the folder that keeps it, and doing it, with resume.

Nothing is imported here: the report reads run folders and must not load a model's libraries.
"""
