"""Sandboxes: stand-ins for vendors, made by us to try things on. None of them is the vendor.

They speak the vendors' wire formats, keep everything in memory, and can be told to fail.
"""
