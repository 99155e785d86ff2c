"""Style, charts and wording shared by every page the project writes."""
