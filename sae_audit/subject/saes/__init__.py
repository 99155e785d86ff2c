"""SAEs: from the name a user gives to one checked SAE per audited layer."""
