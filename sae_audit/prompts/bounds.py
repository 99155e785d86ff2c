"""How much of a file of prompts is read: a file from anyone may be made to exhaust its reader.

Each bound is several times what the published sets need; docs/prompts.md lists them with the
remedy.
"""

FILE_BYTES = 1 << 30
"""Of a file on the disk."""
WHOLE_BYTES = 128 << 20
"""Of a JSON file that is one array or object: it is parsed in one piece."""
WHOLE_VALUES = 20_000_000
"""Commas and brackets of such a file: each stands for a value of some 60 bytes in memory."""
LINE_CHARACTERS = 8 << 20
"""Of one line, and of a row of CSV that goes over several lines."""
COLUMNS = 4096
ROWS = 2_000_000
KEPT_CHARACTERS = 512_000_000
"""Of all cells of a file that are kept, answers left out."""
UNPACKED_BYTES = 4 << 30
"""Of the columns of a parquet file that are read, as its own footer states them."""
TEXT_CHARACTERS = 100_000
"""Of one prompt: longer ones are set aside, and counted. It is some 25,000 tokens."""
NAME_CHARACTERS = 500
"""Of an id, a category or a language."""
