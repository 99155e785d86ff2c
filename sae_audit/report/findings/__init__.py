"""A folder for each section of the page: what it asks of the record, counts, figures, words."""
