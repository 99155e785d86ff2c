"""One folder per section of the page: questions to the record, counts, figures, template."""
