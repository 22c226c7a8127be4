"""The operators' command line: `python -m ops`. One module per noun; names come from the stack's outputs."""
