"""Decorators for DAG files."""
