"""The same activation patching by several tools: `make bench`, explained in docs/benchmarks.md."""
