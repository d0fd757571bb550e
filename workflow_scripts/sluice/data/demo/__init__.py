"""The built-in world: three bilingual datasets with verifiable answers and known flaws.

`problems` says what a problem is, `numbers`, `countries` and `cases` draw them, `flaws` spoils
answers, `building` makes datasets, and `writing` the files.
"""
