"""The writing desk: a draft beside the books, what may be done with it, and what is kept of it."""
