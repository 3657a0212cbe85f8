"""Speed as ratios against a peer in the same run. `./inv test.benchmarks` is not a test: it prints figures."""
