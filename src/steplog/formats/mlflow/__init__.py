"""Runs of MLflow, read from its database or its folder of files."""
