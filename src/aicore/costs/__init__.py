"""What models cost: read from the log, summed up, and compared with owning them."""
