"""What every page the project writes has in common: style, charts, wording."""
