"""The record as data frames, one row per case."""
