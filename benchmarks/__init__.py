"""Measurements: each compares with a named alternative in the same run, by turns, and prints ratios.

Machines are shared and noisy, so that an absolute figure means little and nothing here asserts one.
"""
