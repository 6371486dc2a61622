"""What `minivae.gradcheck` is tried on: right code of many kinds, the same with bugs planted, and trials that count.

Each family is a layer or loss written by hand in NumPy, in a style that users have. `python -m benchmarks.gradcheck`
runs the trials; `benchmarks.gradcheck.registry` says how a family is written.
"""
