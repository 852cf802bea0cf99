"""The business domains behind small ports. Knows no model."""
