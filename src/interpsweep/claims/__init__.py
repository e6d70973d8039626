"""What a sweep may claim: q-values, replication, planted structure against what was found."""
