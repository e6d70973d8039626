"""Measured and written by `benchmarks/calibration.py`; see docs/calibration.md."""

from typing import Any

FALSE_DISCOVERIES: list[dict[str, Any]] = [
    {'kind': 'isotropic', 'runs': 16, 'families': 17, 'clusters': 9.6, 'tests': 532, 'claims': 0, 'false': 0, 'simplex': 0, 'false_families': 0, 'fdr': 0.0, 'fdr_low': 0.0, 'fdr_high': 0.195064, 'binomial_p': 1.0, 'p05': 0.0404042, 'p05_low': 0.0271126, 'p05_high': 0.0536959},
    {'kind': 'anisotropic', 'runs': 16, 'families': 17, 'clusters': 4.7, 'tests': 362, 'claims': 0, 'false': 0, 'simplex': 0, 'false_families': 0, 'fdr': 0.0, 'fdr_low': 0.0, 'fdr_high': 0.195064, 'binomial_p': 1.0, 'p05': 0.057088, 'p05_low': 0.0231257, 'p05_high': 0.0910504},
    {'kind': 'phantom', 'runs': 16, 'families': 17, 'clusters': 8.4, 'tests': 569, 'claims': 9, 'false': 3, 'simplex': 0, 'false_families': 2, 'fdr': 0.117647, 'fdr_low': 0.0145793, 'fdr_high': 0.364409, 'binomial_p': 0.207772, 'p05': 0.114355, 'p05_low': 0.0723021, 'p05_high': 0.156408},
    {'kind': 'superposition', 'runs': 16, 'families': 38, 'clusters': 20.1, 'tests': 1223, 'claims': 1, 'false': 1, 'simplex': 0, 'false_families': 1, 'fdr': 0.0263158, 'fdr_low': 0.000666036, 'fdr_high': 0.138099, 'binomial_p': 0.857604, 'p05': 0.0545653, 'p05_low': 0.0385991, 'p05_high': 0.0705316},
    {'kind': 'superposition, frequent and rare', 'runs': 16, 'families': 35, 'clusters': 20.8, 'tests': 1219, 'claims': 0, 'false': 0, 'simplex': 0, 'false_families': 0, 'fdr': 0.0, 'fdr_low': 0.0, 'fdr_high': 0.100032, 'binomial_p': 1.0, 'p05': 0.0602152, 'p05_low': 0.0451216, 'p05_high': 0.0753088},
    {'kind': 'shuffled activations', 'runs': 15, 'families': 29, 'clusters': 4.6, 'tests': 265, 'claims': 2, 'false': 2, 'simplex': 0, 'false_families': 1, 'fdr': 0.0344828, 'fdr_low': 0.000872647, 'fdr_high': 0.177644, 'binomial_p': 0.774064, 'p05': 0.0362835, 'p05_low': -0.00225214, 'p05_high': 0.0748191},
    {'kind': 'trained on superposition', 'runs': 10, 'families': 20, 'clusters': 18.0, 'tests': 651, 'claims': 0, 'false': 0, 'simplex': 0, 'false_families': 0, 'fdr': 0.0, 'fdr_low': 0.0, 'fdr_high': 0.168433, 'binomial_p': 1.0, 'p05': 0.0646778, 'p05_low': 0.0498558, 'p05_high': 0.0794998},
    {'kind': 'trained on Gaussian activations', 'runs': 10, 'families': 20, 'clusters': 17.5, 'tests': 762, 'claims': 0, 'false': 0, 'simplex': 0, 'false_families': 0, 'fdr': 0.0, 'fdr_low': 0.0, 'fdr_high': 0.168433, 'binomial_p': 1.0, 'p05': 0.0481215, 'p05_low': 0.0355369, 'p05_high': 0.0607062},
]

POWER: list[dict[str, Any]] = [
    {'shape': 'circle', 'size': 12, 'noise': 0.1, 'tokens': 0, 'gathered': 1.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'circle', 'size': 12, 'noise': 0.3, 'tokens': 0, 'gathered': 1.0, 'claimed': 1.0, 'named': 1.0, 'runs': 1},
    {'shape': 'circle', 'size': 12, 'noise': 0.5, 'tokens': 0, 'gathered': 1.0, 'claimed': 1.0, 'named': 1.0, 'runs': 1},
    {'shape': 'circle', 'size': 12, 'noise': 0.8, 'tokens': 0, 'gathered': 1.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'line', 'size': 12, 'noise': 0.1, 'tokens': 0, 'gathered': 1.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'line', 'size': 12, 'noise': 0.3, 'tokens': 0, 'gathered': 1.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'line', 'size': 12, 'noise': 0.5, 'tokens': 0, 'gathered': 1.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'line', 'size': 12, 'noise': 0.8, 'tokens': 0, 'gathered': 1.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'tree', 'size': 12, 'noise': 0.1, 'tokens': 0, 'gathered': 1.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'tree', 'size': 12, 'noise': 0.3, 'tokens': 0, 'gathered': 1.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'tree', 'size': 12, 'noise': 0.5, 'tokens': 0, 'gathered': 1.0, 'claimed': 1.0, 'named': 1.0, 'runs': 1},
    {'shape': 'tree', 'size': 12, 'noise': 0.8, 'tokens': 0, 'gathered': 1.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'circle', 'size': 6, 'noise': 0.3, 'tokens': 0, 'gathered': 1.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'circle', 'size': 8, 'noise': 0.3, 'tokens': 0, 'gathered': 1.0, 'claimed': 1.0, 'named': 1.0, 'runs': 1},
    {'shape': 'circle', 'size': 20, 'noise': 0.3, 'tokens': 0, 'gathered': 0.0, 'claimed': 0.0, 'named': 0.0, 'runs': 1},
    {'shape': 'simplex', 'size': 12, 'noise': 0.1, 'tokens': 4000, 'gathered': 1.0, 'claimed': 1.0, 'named': 0.0, 'runs': 1},
    {'shape': 'simplex', 'size': 12, 'noise': 0.3, 'tokens': 4000, 'gathered': 1.0, 'claimed': 1.0, 'named': 0.0, 'runs': 1},
    {'shape': 'simplex', 'size': 12, 'noise': 0.5, 'tokens': 4000, 'gathered': 1.0, 'claimed': 1.0, 'named': 1.0, 'runs': 1},
    {'shape': 'circle', 'size': 7, 'noise': 0.3, 'tokens': 2000, 'gathered': 1.0, 'claimed': 1.0, 'named': 1.0, 'runs': 1},
]
