"""From notebooks to a book: :mod:`~nplib.publish.page` serves a page, :mod:`~nplib.publish.build` makes all."""
