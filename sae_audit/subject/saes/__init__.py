"""SAEs, from what a user calls them to one checked SAE for each audited layer."""
