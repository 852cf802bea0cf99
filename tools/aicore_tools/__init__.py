"""The business domains behind small ports. Knows no model.

Each domain (`crm`, `mail`, `calendars`, `payments`) has the same six names: `records`, `port`,
`service`, `registry`, `backends` and its public names. `errors`, `operations` and `local_store`
are what they share.
"""
