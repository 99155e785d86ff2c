"""Requirements of an audit, checked against this machine before any large download."""
