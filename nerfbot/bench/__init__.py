"""Benchmarks: figures measured beside a peer or a bare limit in the same run, never asserted in a test."""
