"""The record as data frames, one row a case: findings in, a frame out."""
