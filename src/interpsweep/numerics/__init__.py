"""Numbers of unit directions that several stages want: cosines, and null dictionaries."""
