"""Limits on reading files of prompts: a foreign file may be made to exhaust its reader.

Each is several times what published sets need; docs/prompts.md lists them with the remedy.
"""

FILE_BYTES = 1 << 30
"""Bytes of a file on disk."""
WHOLE_BYTES = 128 << 20
"""Bytes of a JSON file that is one array or object, which is parsed in one piece."""
WHOLE_VALUES = 20_000_000
"""Commas and brackets of such a file: each stands for a value of about 60 bytes in memory."""
LINE_CHARACTERS = 8 << 20
"""Characters of one line, and of a row of CSV that spans several lines."""
COLUMNS = 4096
ROWS = 2_000_000
KEPT_CHARACTERS = 512_000_000
"""Characters of all cells kept from a file, without answers."""
UNPACKED_BYTES = 4 << 30
"""Bytes of the columns read from a parquet file, according to its footer."""
TEXT_CHARACTERS = 100_000
"""Characters of one prompt (about 25,000 tokens); longer ones are set aside and counted."""
NAME_CHARACTERS = 500
"""Characters of an id, a category or a language."""
