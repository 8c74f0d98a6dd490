"""Self-contained HTML reports: one file each, no network, nothing of a stranger's that runs.

`escaping` makes text safe, `charts` draws SVG, `page` renders templates and writes files whole
or not at all; `gallery` and `evaluation` are the pages.
"""
