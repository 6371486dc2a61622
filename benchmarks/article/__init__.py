"""The seed article's model and the mistakes of its printed code, each trained and measured. See docs/the-article.md.

`python -m benchmarks.article` trains everything anew and writes the results, the table of the page and its figure;
`--redraw` writes table and figure from the results that are there.
"""
