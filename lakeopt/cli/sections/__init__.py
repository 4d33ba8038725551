"""One module a kind of value: which rows it has for CSV and JSON Lines, and how people read it.

Each module ends with ``sections(value)``, and names in ``ROWS`` the field whose items are the rows (None: the value
itself is the one row).
"""
