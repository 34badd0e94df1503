"""List the programs of the leak benchmark."""

from benchmarks.leaks.catalog import table

print(table())
