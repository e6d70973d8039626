"""Figures: one module each, from tables to pictures; `draw` is the stage."""
