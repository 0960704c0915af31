"""The local review site: a queue of samples, decisions by single keys, masks corrected on the spot.

`serve.review` runs it and `apply.apply_review` carries what was decided into the data set. The parts: `store` keeps
decisions in SQLite, `index` and `queue` say which sample comes when, `samples` and `images` what the browser is shown,
`security` who may talk to the site, `app` what is answered to what. Importing this loads no web framework.
"""
