"""Offline folders of wandb, read."""
