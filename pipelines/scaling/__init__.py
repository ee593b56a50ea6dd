"""What curating a crawl takes on N machines: CPU, wall clock, memory, shuffle, files, requests.

Plain arithmetic over measured unit costs. docs/scaling.md tells how they were measured, how far
the model is from real runs, and what breaks first.
"""
