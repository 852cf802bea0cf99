"""The files of the example assistant for staff: mail to a segment of the customers."""
