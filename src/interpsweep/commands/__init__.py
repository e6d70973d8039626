"""What the command line does beside running a stage: one module for each group of commands."""
