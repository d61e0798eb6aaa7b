"""The neighbouring systems of the reading list, a module each: their mathematics, beside that of the paper's own."""
