"""Run folders: starting and resuming a run, its checkpoints, its pictures, opening it again."""
